import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { mostBytes } from "../../../shared/rpc/message-size.ts";
import { writeMessage } from "../../../shared/rpc/message-writer.ts";

/** The tag and the length before each result. */
const frameBytes = 6;

/**
 * The best results that fit into so many bytes, and at least one; metadata counts as it travels.
 * Only where an estimate leaves it open are they encoded to be measured.
 */
export function fitting<Desc extends DescMessage>(
  schema: Desc,
  results: readonly MessageInitShape<Desc>[],
  room: number,
): MessageInitShape<Desc>[] {
  let atMost = 0;
  for (const result of results) atMost += mostBytes(result) + frameBytes;
  if (atMost <= room) return [...results];
  let left = room;
  const end = results.findIndex((result, index) => {
    left -= writeMessage(schema, result).byteLength + frameBytes;
    return left < 0 && index > 0;
  });
  return end < 0 ? [...results] : results.slice(0, end);
}
