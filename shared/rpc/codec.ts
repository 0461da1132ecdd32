import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { DomainError } from "../errors.ts";
import { messageCodec } from "./float-lists.ts";

/** Largest message in either direction unless configured otherwise. */
export const defaultMaxMessageBytes = 16 * 1024 * 1024;

/** Refuses a message above the limit; OVERLOADED would mislead, since a retry cannot help. */
export function checkSize(bytes: number, limit: number, what: string): void {
  if (bytes <= limit) return;
  throw new DomainError(
    "resource_exhausted",
    "MESSAGE_TOO_LARGE",
    `the ${what} has ${bytes} bytes; at most ${limit} are accepted`,
    { facts: { limit_bytes: String(limit), actual_bytes: String(bytes) } },
  );
}

/** A message as bytes. Throws where it is above the limit. */
export function encode<Desc extends DescMessage>(
  schema: Desc,
  message: MessageInitShape<Desc>,
  limit: number,
  what: "request" | "response",
): Buffer {
  const bytes = messageCodec(schema).encode(message);
  checkSize(bytes.byteLength, limit, what);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * A message from its bytes; throws where they are none. Embeddings in it (messages of one
 * `repeated float`) are Float32Arrays, which read as arrays of numbers.
 */
export function decode<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
): MessageShape<Desc> {
  return messageCodec(schema).decode(bytes) as MessageShape<Desc>;
}

/** A request from its bytes. What cannot be decoded is the caller's mistake. */
export function decodeRequest<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
  limit: number,
): MessageShape<Desc> {
  checkSize(bytes.byteLength, limit, "request");
  try {
    return decode(schema, bytes);
  } catch (cause) {
    throw new DomainError(
      "invalid_argument",
      "INVALID_FIELD",
      `the request is not a ${schema.typeName}`,
      { cause },
    );
  }
}
