import { v7 } from "uuid";

/** A new id: UUIDv7 (RFC 9562), so that ids sort by time of making. */
export function newId(): string {
  return v7();
}
