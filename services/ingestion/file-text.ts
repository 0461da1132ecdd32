import { hash } from "node:crypto";
import { join } from "node:path";
import { isBinaryFileSync } from "isbinaryfile";
import { readRegularFile } from "../../shared/files/regular-file.ts";
import { isGeneratedCode, type SkipReason } from "./exclusions.ts";
import { findSecret } from "./found-secrets.ts";
import { type Language, languageOf, plainText } from "./languages.ts";
import { type FileStamp, stampOf } from "./repository-walk.ts";

/** A file as it was when it was read. */
export interface SourceFile {
  /** Relative to the repository. */
  readonly path: string;
  readonly stamp: FileStamp;
  /** SHA-256 of its bytes, lower-case hex. */
  readonly hash: string;
  readonly bytes: Buffer;
}

/** Throws the errors of readRegularFile. */
export function readSourceFile(root: string, path: string, maxFileBytes: number): SourceFile {
  const { bytes, stat } = readRegularFile(join(root, path), maxFileBytes);
  return { path, stamp: stampOf(stat), hash: hash("sha256", bytes, "hex"), bytes };
}

/** The text of a file, or why it is passed over. */
export type FileText =
  | { readonly kind: "text"; readonly text: string; readonly language: Language }
  | { readonly kind: "skipped"; readonly reason: SkipReason; readonly detail?: string };

export function textOf(file: Pick<SourceFile, "path" | "bytes">): FileText {
  const decoded = decode(file.bytes);
  if (decoded === undefined) return { kind: "skipped", reason: "binary" };
  const text = plainLines(decoded);
  const language = languageOf(file.path) ?? plainText;
  if (text.trim() === "") return { kind: "skipped", reason: "empty" };
  const secret = findSecret(text);
  if (secret !== undefined) {
    const detail = `line ${secret.line}: ${secret.kind}`;
    return { kind: "skipped", reason: "secret_found", detail };
  }
  if (language.code && isGeneratedCode(text)) return { kind: "skipped", reason: "generated" };
  return { kind: "text", text, language };
}

/** Lines are counted by one character; NUL is refused by PostgreSQL. */
export function plainLines(text: string): string {
  return text.replaceAll("\0", "").replace(/\r\n?/g, "\n");
}

/**
 * Decodes by byte order mark, else as UTF-8, else as windows-1252, which old Western sources are in
 * and which keeps every word that is ASCII. Undefined where the bytes are no text.
 */
export function decode(bytes: Buffer): string | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  if (isBinaryFileSync(bytes, { size: bytes.length })) return undefined;
  try {
    // The decoder drops a byte order mark.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}
