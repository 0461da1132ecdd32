import { DomainError } from "../../shared/errors.ts";
import type { ContentVector } from "./ports.ts";

/** What one call to the vector store may carry; its limit is 16 MiB. */
const mostItems = 1_000;
const mostBytes = 8 * 1024 * 1024;

/** The items in order, in parts that one message can carry. */
export function* messageParts<T>(
  items: readonly T[],
  bytesOf: (item: T) => number,
): Generator<T[]> {
  let part: T[] = [];
  let size = 0;
  for (const item of items) {
    const bytes = bytesOf(item);
    if (part.length > 0 && (part.length >= mostItems || size + bytes > mostBytes)) {
      yield part;
      part = [];
      size = 0;
    }
    part.push(item);
    size += bytes;
  }
  if (part.length > 0) yield part;
}

/** What a content's vector takes in a message, with those of its passages. */
export function vectorBytes({ values, passages }: ContentVector): number {
  return 4 * values.length * (1 + passages.length) + 16 * passages.length;
}

/** Reads by id in as many messages as the answer needs: what is too large for one is halved. */
export async function readInParts<T>(
  ids: readonly string[],
  read: (ids: readonly string[]) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  try {
    return await read(ids);
  } catch (error) {
    const tooLarge = error instanceof DomainError && error.kind === "resource_exhausted";
    if (!tooLarge || ids.length < 2) throw error;
    const half = Math.ceil(ids.length / 2);
    const first = await readInParts(ids.slice(0, half), read);
    return [...first, ...(await readInParts(ids.slice(half), read))];
  }
}
