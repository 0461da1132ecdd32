import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { InvalidRequestError, type Violations } from "../../../shared/errors.ts";
import type { Filter } from "../../../shared/gen/mahavishnu/type/v1/filter_pb.js";
import type { CallerFilter } from "../ports.ts";

/** Bounds that the contract gives to fields of several requests. */
export const bounds = {
  idBytes: 256,
  contentBytes: 1024 * 1024,
  sourceSystemBytes: 128,
  metadataBytes: 64 * 1024,
  requestIdBytes: 128,
  queryBytes: 32 * 1024,
} as const;

/** Adds a violation unless the text has `min` to `max` bytes of UTF-8 and no NUL. */
export function checkText(
  violations: Violations,
  field: string,
  value: string,
  { min = 0, max }: { readonly min?: number; readonly max: number },
): void {
  const bytes = Buffer.byteLength(value);
  if (bytes < min) violations.add(field, min === 1 ? "is required" : `must have ${min} bytes`);
  else if (min > 0 && value.trim() === "") violations.add(field, "must not be blank");
  if (bytes > max) violations.add(field, `must be at most ${max} bytes, not ${bytes}`);
  if (value.includes("\0")) violations.add(field, "must not contain NUL");
}

// The first and last second of the years that a Timestamp may name.
const firstSecond = -62_135_596_800n;
const lastSecond = 253_402_300_799n;

export function checkTimestamp(
  violations: Violations,
  field: string,
  value: Timestamp | undefined,
): void {
  if (value === undefined) return;
  const { seconds, nanos } = value;
  const valid =
    seconds >= firstSecond && seconds <= lastSecond && nanos >= 0 && nanos <= 999_999_999;
  violations.require(valid, field, "must be a time of the years 1 to 9999");
}

/** A page size or limit within 1 to 1,000; 0 stands for the default. */
export function parseCount(
  violations: Violations,
  field: string,
  value: number,
  byDefault: number,
): number {
  if (value === 0) return byDefault;
  violations.require(value >= 1 && value <= 1_000, field, "must be 1 to 1000");
  return value;
}

/** A filter without a node is none. What is in it the vector store judges. */
export function parseFilter(filter: Filter | undefined): CallerFilter | undefined {
  if (filter === undefined || filter.node.case === undefined) return undefined;
  return filter as unknown as CallerFilter;
}

/** A page token that holds these texts. */
export function toPageToken(parts: readonly string[]): string {
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

/** The texts of a page token; undefined for an empty one. Throws InvalidRequestError. */
export function parsePageToken(token: string, partCount: number): string[] | undefined {
  if (token === "") return undefined;
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    if (
      Array.isArray(parts) &&
      parts.length === partCount &&
      parts.every((part) => typeof part === "string")
    ) {
      return parts;
    }
  } catch {
    // Not ours; said below.
  }
  throw invalidPageToken();
}

export function invalidPageToken(): InvalidRequestError {
  return new InvalidRequestError([
    { field: "page_token", description: "is not a token of this call" },
  ]);
}
