import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { SearchResultSchema } from "../../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { writeMessage } from "../../../shared/rpc/message-writer.ts";
import { fitting } from "./fitting.ts";

const mebibyte = 1024 * 1024;
const most = 15 * mebibyte;

const result = (id: string, mebibytes: number, metadata = {}) =>
  create(SearchResultSchema, { id, content: "x".repeat(mebibytes * mebibyte), metadata });

const kept = (results: readonly MessageInitShape<typeof SearchResultSchema>[], room = most) =>
  fitting(SearchResultSchema, results, room);

it("keeps the best results that fit into a message, one at least", () => {
  const idsOf = (...sizes: number[]) =>
    kept(sizes.map((size, index) => result(`r${index}`, size))).map(({ id }) => id);
  expect(idsOf()).toEqual([]);
  expect(idsOf(1, 1)).toEqual(["r0", "r1"]);
  expect(idsOf(7, 7, 7, 0)).toEqual(["r0", "r1"]);
  expect(idsOf(20, 0)).toEqual(["r0"]);
});

it("counts metadata as it travels", () => {
  const numbers = { numbers: Array.from({ length: 100_000 }, () => 1) };
  const results = Array.from({ length: 15 }, (_, index) => result(`r${index}`, 0, numbers));
  expect(kept(results).length).toBeLessThan(15);
});

it("never passes the room that there is, and leaves none unused, whatever that is", () => {
  const results = Array.from({ length: 30 }, (_, i) => ({
    id: `r${i}`,
    content: "ü".repeat(i * 7),
    metadata: { i, tags: ["a", null, { deep: true }] },
  }));
  const bytes = (some: typeof results) =>
    writeMessage(SearchResultSchema, some[0] ?? {}).byteLength;
  const sizes = results.map((one) => bytes([one]) + 6);
  for (let room = 1; room < 40_000; room += 997) {
    const { length } = kept(results, room);
    const upTo = (count: number) => sizes.slice(0, count).reduce((sum, size) => sum + size, 0);
    if (length > 1) expect(upTo(length)).toBeLessThanOrEqual(room);
    if (length < results.length) expect(upTo(length + 1)).toBeGreaterThan(room);
  }
});
