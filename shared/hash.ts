import { hash } from "node:crypto";

/** SHA-256 of a text's UTF-8 bytes, as 64 lower-case hex digits. */
export function contentHash(content: string): string {
  return hash("sha256", content, "hex");
}
