import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { Violations } from "../../../shared/errors.ts";
import { FilterSchema } from "../../../shared/gen/mahavishnu/type/v1/filter_pb.js";
import type { Entry } from "../catalogue.ts";
import { parseFilter } from "./parse-filter.ts";

const entry: Entry = {
  record: {
    id: "r1",
    kind: "conversation",
    content: "said",
    tags: ["pool", "limits"],
    project: "Alpha",
    collection: "",
    insightType: "",
    confidence: 0.7,
    metadata: JSON.stringify({
      build: { status: "red", at: null },
      n: 3,
      mahavishnu: { tenant: "t" },
    }),
    createMicros: Date.UTC(2026, 2, 15, 12) * 1_000 + 5,
    updateMicros: undefined,
    era: "F",
    origins: [],
  },
  hash: "abc",
  tenant: "t",
};

function parse(json: JsonValue) {
  const violations = new Violations();
  const matches = parseFilter(fromJson(FilterSchema, json), "filter", violations);
  return { matches, fields: violations.list.map(({ field }) => field) };
}
const holds = (condition: JsonValue) => parse({ condition }).matches?.(entry);

describe("a filter on records", () => {
  test("without a node is none", () => {
    expect(parse({})).toEqual({ matches: undefined, fields: [] });
  });

  test.each<[JsonValue, boolean]>([
    [{ field: "id", oneOf: ["r0", "r1"] }, true],
    [{ field: "memory_type", equals: "agent" }, true],
    [{ field: "memory_type", equals: "insight" }, false],
    [{ field: "source_system", equals: "session-buddy" }, true],
    [{ field: "repo_id", equals: "Alpha" }, true],
    [{ field: "repo_id", contains: "ALPH" }, true],
    [{ field: "repo_id", range: { gte: "A", lt: "B" } }, true],
    [{ field: "content_hash", equals: "abc" }, true],
    [{ field: "agent_id", exists: false }, true],
    [{ field: "agent_id", equals: "a" }, false],
    [{ field: "expire_time", exists: true }, false],
    [{ field: "update_time", range: { gt: "2000-01-01T00:00:00Z" } }, false],
    [{ field: "create_time", equals: "2026-03-15T13:00:00.000005+01:00" }, true],
    [
      { field: "create_time", range: { gte: "2026-03-15T00:00:00Z", lt: "2026-03-16T00:00:00Z" } },
      true,
    ],
    [{ field: "create_time", range: { gt: "2026-03-16T00:00:00Z" } }, false],
    [{ field: "metadata.tags", contains: "pool" }, true],
    [{ field: "metadata.tags", contains: "poo" }, false],
    [{ field: "metadata.confidence", range: { gte: 0.5 } }, true],
    [{ field: "metadata.kind", equals: "conversation" }, true],
    [{ field: "metadata.build.status", equals: "red" }, true],
    [{ field: "metadata.build", contains: { status: "red" } }, true],
    [{ field: "metadata.build.at", exists: false }, true],
    [{ field: "metadata.n", range: { gt: "2" } }, false],
    [{ field: "metadata.n", oneOf: [3, "x"] }, true],
    [{ field: "metadata.mahavishnu.tenant", exists: true }, false],
    [{ field: "metadata.collection", exists: true }, false],
  ])("%j is %s", (condition, expected) => {
    expect(parse({ condition }).fields).toEqual([]);
    expect(holds(condition)).toBe(expected);
    expect(parse({ not: { condition } }).matches?.(entry)).toBe(!expected);
  });

  test("combines conditions", () => {
    const yes = { condition: { field: "id", exists: true } };
    const no = { condition: { field: "id", exists: false } };
    const of = (node: string, ...filters: JsonValue[]) =>
      parse({ [node]: { filters } }).matches?.(entry);
    expect([of("allOf", yes, no), of("allOf", yes, yes)]).toEqual([false, true]);
    expect([of("anyOf", yes, no), of("anyOf", no, no)]).toEqual([true, false]);
  });

  test.each<[JsonValue, string]>([
    [{ condition: { field: "vector", exists: true } }, "filter.condition.field"],
    [{ condition: { field: "content", exists: true } }, "filter.condition.field"],
    [{ condition: { field: "metadata.a..b", exists: true } }, "filter.condition.field"],
    [{ condition: { field: "id" } }, "filter.condition"],
    [{ condition: { field: "id", equals: 3 } }, "filter.condition.equals"],
    [{ condition: { field: "id", oneOf: [] } }, "filter.condition.one_of"],
    [{ condition: { field: "id", oneOf: ["x", 1] } }, "filter.condition.one_of[1]"],
    [{ condition: { field: "create_time", equals: "soon" } }, "filter.condition.equals"],
    [{ condition: { field: "create_time", contains: "2" } }, "filter.condition.contains"],
    [{ condition: { field: "metadata.n", range: {} } }, "filter.condition.range"],
    [{ condition: { field: "metadata.n", range: { gt: 1, gte: 2 } } }, "filter.condition.range"],
    [{ condition: { field: "metadata.n", range: { gt: 1, lt: "2" } } }, "filter.condition.range"],
    [{ condition: { field: "metadata.n", range: { gt: true } } }, "filter.condition.range.gt"],
    [{ condition: { field: "metadata.n", equals: null } }, "filter.condition.equals"],
    [{ allOf: { filters: [] } }, "filter.all_of.filters"],
    [{ allOf: { filters: [{}] } }, "filter.all_of.filters[0]"],
    [{ not: {} }, "filter.not"],
  ])("%j is refused at %s", (filter, field) => {
    expect(parse(filter).fields).toContain(field);
  });

  test("is refused where it is too deep", () => {
    let filter: JsonValue = { condition: { field: "id", exists: true } };
    for (let level = 0; level < 16; level++) filter = { not: filter };
    expect(parse(filter).fields).toHaveLength(1);
  });
});
