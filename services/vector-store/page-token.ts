import { createHash } from "node:crypto";
import { InvalidRequestError } from "../../shared/errors.ts";

/** The place where a page ended, as a text that means nothing to its bearer. */
export interface PageToken {
  /** The last key of the page. */
  readonly after: string;
  /** Of what the pages are: the fingerprint of the question. */
  readonly question: string;
}

export function encodePageToken({ after, question }: PageToken): string {
  return Buffer.from(JSON.stringify([question, after])).toString("base64url");
}

/** The key to go on after; undefined for the first page. Throws where the token is another's. */
export function decodePageToken(token: string, question: string): string | undefined {
  if (token === "") return undefined;
  const parts = parsed(token);
  if (
    Array.isArray(parts) &&
    parts.length === 2 &&
    parts[0] === question &&
    typeof parts[1] === "string" &&
    !parts[1].includes("\0")
  ) {
    return parts[1];
  }
  throw new InvalidPageTokenError();
}

/** The token is not one of this question. */
export class InvalidPageTokenError extends InvalidRequestError {
  constructor() {
    super([
      { field: "page_token", description: "must be the next_page_token of the same question" },
    ]);
  }
}

/** The same for equal questions, whatever the order of the keys in them. */
export function fingerprint(question: unknown): string {
  const text = JSON.stringify(question, (_, value: unknown) => {
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
  return createHash("sha256")
    .update(text ?? "")
    .digest("base64url")
    .slice(0, 16);
}

function parsed(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, "base64url").toString());
  } catch {
    return undefined;
  }
}
