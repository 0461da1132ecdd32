import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { SearchResultSchema } from "../../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { fitting } from "./search.ts";

const result = (id: string, mebibytes: number, metadata = {}) =>
  create(SearchResultSchema, { id, content: "x".repeat(mebibytes * 1024 * 1024), metadata });

it("keeps the best results that fit into a message, one at least", () => {
  const idsOf = (...sizes: number[]) =>
    fitting(sizes.map((size, index) => result(`r${index}`, size))).map(({ id }) => id);
  expect(idsOf()).toEqual([]);
  expect(idsOf(1, 1)).toEqual(["r0", "r1"]);
  expect(idsOf(7, 7, 7, 0)).toEqual(["r0", "r1"]);
  expect(idsOf(20, 0)).toEqual(["r0"]);
});

it("counts metadata as it travels", () => {
  const numbers = { numbers: Array.from({ length: 100_000 }, () => 1) };
  const results = Array.from({ length: 15 }, (_, index) => result(`r${index}`, 0, numbers));
  expect(fitting(results).length).toBeLessThan(15);
});
