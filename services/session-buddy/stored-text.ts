import type { JsonObject, JsonValue } from "./record.ts";

/**
 * Session-Buddy stores text that is not valid Unicode (lone surrogates) as this prefix and the
 * base64 of its bytes in Python's `surrogatepass` form of UTF-8.
 */
const wrapped = /^__SB64__([A-Za-z0-9+/]+={0,2})$/;

/** The text behind a stored text; a lone surrogate becomes U+FFFD, so that it can travel. */
export function decodeStoredText(stored: string): string {
  const base64 = wrapped.exec(stored)?.[1];
  if (base64 === undefined || base64.length % 4 !== 0) return stored.toWellFormed();
  // The three bytes of a surrogate are invalid in strict UTF-8: TextDecoder would write three
  // replacement characters for one, so each is replaced as a whole first.
  const bytes = Buffer.from(base64, "base64");
  const parts: Buffer[] = [];
  let from = 0;
  for (let at = 0; at + 2 < bytes.length; at++) {
    if (bytes[at] === 0xed && (bytes[at + 1] ?? 0) >= 0xa0) {
      parts.push(bytes.subarray(from, at), replacement);
      at += 2;
      from = at + 1;
    }
  }
  return Buffer.concat([...parts, bytes.subarray(from)]).toString("utf8");
}

const replacement = Buffer.from("\ufffd", "utf8");

/** JSON as stored, unwrapped where it is JSON in a JSON text; undefined where it is no JSON. */
export function parseStoredJson(stored: string): JsonValue | undefined {
  let value: JsonValue = stored;
  for (let depth = 0; depth < deepest && typeof value === "string"; depth++) {
    try {
      value = JSON.parse(value) as JsonValue;
    } catch {
      return depth === 0 ? undefined : value;
    }
  }
  return value;
}

const deepest = 3;

/**
 * Metadata as stored, as an object. JSON inside JSON is unwrapped; a value that is no object stands
 * under `value`; text that is no JSON is kept under `unparsed_text`, so that nothing is hidden.
 */
export function parseMetadata(stored: string): JsonObject {
  if (stored.trim() === "") return {};
  const value = parseStoredJson(stored);
  if (value === undefined) return { unparsed_text: stored };
  if (value === null) return {};
  return isJsonObject(value) ? value : { value };
}

export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
