import { create, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { Violations } from "../../../shared/errors.ts";
import {
  FilterSchema,
  type Filter as ProtoFilter,
} from "../../../shared/gen/mahavishnu/type/v1/filter_pb.js";
import { parseFilter } from "./parse-filter.ts";

function parse(filter: ProtoFilter) {
  const violations = new Violations();
  const parsed = parseFilter(filter, "filter", violations);
  return { parsed, fields: violations.list.map((one) => one.field) };
}
const fromJsonText = (json: JsonValue) => parse(fromJson(FilterSchema, json));
const condition = (json: JsonValue) => fromJsonText({ condition: json });

describe("filters out of requests", () => {
  test("nothing set is no filter at the root", () => {
    expect(fromJsonText({})).toEqual({ parsed: undefined, fields: [] });
  });

  test("every kind of node and test is read", () => {
    const { parsed, fields } = fromJsonText({
      allOf: {
        filters: [
          { condition: { field: "memory_type", oneOf: ["agent", "rag"] } },
          { anyOf: { filters: [{ condition: { field: "vector", exists: true } }] } },
          { not: { condition: { field: "repo_id", contains: "x" } } },
          { condition: { field: "create_time", range: { gte: "2020-01-01T00:00:00Z" } } },
          { condition: { field: "metadata.a.b", equals: { x: [1, null] } } },
          { condition: { field: "metadata.n", range: { gt: 1, lte: 2 } } },
        ],
      },
    });
    expect(fields).toEqual([]);
    expect(parsed).toMatchObject({
      node: "all",
      filters: [
        { condition: { on: "text", test: { kind: "one_of", values: ["agent", "rag"] } } },
        { node: "any" },
        { node: "not", filter: { condition: { test: { kind: "contains", text: "x" } } } },
        {
          condition: {
            on: "time",
            test: { bounds: [{ comparison: "gte", value: 1_577_836_800_000_000n }] },
          },
        },
        { condition: { on: "metadata", path: ["a", "b"], test: { value: { x: [1, null] } } } },
        { condition: { test: { bounds: [{ comparison: "gt" }, { comparison: "lte" }] } } },
      ],
    });
  });

  test.each<[JsonValue, string]>([
    [{ field: "nonsense", exists: true }, "filter.condition.field"],
    [{ field: "", exists: true }, "filter.condition.field"],
    [{ field: "content", exists: true }, "filter.condition.field"],
    [{ field: "metadata", exists: true }, "filter.condition.field"],
    [{ field: "metadata.", exists: true }, "filter.condition.field"],
    [{ field: "metadata.a..b", exists: true }, "filter.condition.field"],
    [{ field: "metadata.a\0", exists: true }, "filter.condition.field"],
    [{ field: `metadata${".a".repeat(33)}`, exists: true }, "filter.condition.field"],
    [{ field: "id; drop table memories", exists: true }, "filter.condition.field"],
    [{ field: "repo_id" }, "filter.condition"],
    [{ field: "repo_id", equals: 1 }, "filter.condition.equals"],
    [{ field: "repo_id", equals: "a\0" }, "filter.condition.equals"],
    [{ field: "repo_id", contains: true }, "filter.condition.contains"],
    [{ field: "memory_type", equals: "dream" }, "filter.condition.equals"],
    [{ field: "memory_type", oneOf: ["rag", "dream"] }, "filter.condition.one_of[1]"],
    [{ field: "repo_id", oneOf: [] }, "filter.condition.one_of"],
    [{ field: "repo_id", oneOf: Array(1_001).fill("x") }, "filter.condition.one_of"],
    [{ field: "repo_id", range: {} }, "filter.condition.range"],
    [{ field: "repo_id", range: { gt: "a", gte: "b" } }, "filter.condition.range"],
    [{ field: "repo_id", range: { lt: "a", lte: "b" } }, "filter.condition.range"],
    [{ field: "create_time", equals: "tomorrow" }, "filter.condition.equals"],
    [{ field: "create_time", contains: "2020" }, "filter.condition.contains"],
    [{ field: "vector", equals: 1 }, "filter.condition.equals"],
    [{ field: "vector", oneOf: [1] }, "filter.condition.one_of"],
    [{ field: "metadata.a", equals: null }, "filter.condition.equals"],
    [{ field: "metadata.a", contains: null }, "filter.condition.contains"],
    [{ field: "metadata.a", range: { gt: true } }, "filter.condition.range.gt"],
    [{ field: "metadata.a", range: { gt: 1, lt: "z" } }, "filter.condition.range"],
    [{ field: "metadata.a", equals: { "b\0": 1 } }, "filter.condition.equals"],
    [{ field: "metadata.a", equals: nested(40) }, "filter.condition.equals"],
  ])("%j is refused by name", (json, field) => {
    expect(condition(json)).toEqual({ parsed: undefined, fields: [field] });
  });

  test("numbers that are none, and values that are not set, are refused", () => {
    const of = (value: object) =>
      parse(
        create(FilterSchema, {
          node: {
            case: "condition",
            value: { field: "metadata.a", test: { case: "equals", value } },
          },
        }),
      ).fields;
    expect(of({ kind: { case: "numberValue", value: Number.NaN } })).toHaveLength(1);
    expect(of({ kind: { case: undefined } })).toHaveLength(1);
    const values = [{ kind: { case: undefined } }];
    expect(of({ kind: { case: "listValue", value: { values } } })).toHaveLength(1);
    const fields = { a: { kind: { case: undefined } } };
    expect(of({ kind: { case: "structValue", value: { fields } } })).toHaveLength(1);
  });

  test("16 levels are taken, 17 are not", () => {
    const deep = (levels: number): JsonValue =>
      levels === 1 ? { condition: { field: "id", exists: true } } : { not: deep(levels - 1) };
    expect(fromJsonText(deep(16)).fields).toEqual([]);
    expect(fromJsonText(deep(17)).fields).toEqual([`filter${".not".repeat(16)}`]);
  });

  test("lists hold 1 to 1,000 filters, and nodes must be set", () => {
    const one = { condition: { field: "id", exists: true } };
    expect(fromJsonText({ allOf: { filters: [] } }).fields).toEqual(["filter.all_of.filters"]);
    const many = { anyOf: { filters: Array(1_001).fill(one) } };
    expect(fromJsonText(many).fields).toEqual(["filter.any_of.filters"]);
    expect(fromJsonText({ anyOf: { filters: [one, {}] } }).fields).toEqual([
      "filter.any_of.filters[1]",
    ]);
    const full = { anyOf: { filters: Array(1_000).fill(one) } };
    const huge = { allOf: { filters: Array(6).fill(full) } };
    expect(fromJsonText(huge).fields).toHaveLength(1);
  });

  test("all violations are told at once", () => {
    const { fields } = fromJsonText({
      allOf: {
        filters: [
          { condition: { field: "x", exists: true } },
          { not: { condition: { field: "repo_id", equals: 5 } } },
        ],
      },
    });
    expect(fields).toEqual([
      "filter.all_of.filters[0].condition.field",
      "filter.all_of.filters[1].not.condition.equals",
    ]);
  });
});

function nested(depth: number): JsonValue {
  return depth === 0 ? 1 : [nested(depth - 1)];
}
