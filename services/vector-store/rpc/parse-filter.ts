import type { Value } from "@bufbuild/protobuf/wkt";
import type { Violations } from "../../../shared/errors.ts";
import type {
  FilterList,
  Condition as ProtoCondition,
  Filter as ProtoFilter,
  Range,
} from "../../../shared/gen/mahavishnu/type/v1/filter_pb.js";
import { memoryTypes } from "../document.ts";
import {
  type Bound,
  type Condition,
  type Filter,
  filterBounds,
  type MetadataTest,
  type Test,
  type TextField,
  type TextTest,
  type TimeField,
  textFields,
  timeFields,
} from "../filter.ts";
import { type Instant, parseInstant } from "../instant.ts";
import { type JsonValue, jsonProblem, type PresentJson } from "../json.ts";
import { textProblem } from "../text-checks.ts";

/** Where a part of the filter stands, and where its violations go. */
interface Place {
  readonly path: string;
  readonly violations: Violations;
}

/** Levels that a value inside a filter may be nested. */
const maxValueDepth = 32;

/**
 * A filter out of a request. Undefined where there is none, where no node is set, or where
 * violations were added; `path` is where it stands in the request.
 */
export function parseFilter(
  filter: ProtoFilter | undefined,
  path: string,
  violations: Violations,
): Filter | undefined {
  if (filter === undefined || filter.node.case === undefined) return undefined;
  const parser = new FilterParser(violations);
  return parser.filter(filter, path, 1);
}

class FilterParser {
  readonly #violations: Violations;
  #conditions = 0;

  constructor(violations: Violations) {
    this.#violations = violations;
  }

  filter(filter: ProtoFilter, path: string, depth: number): Filter | undefined {
    if (depth > filterBounds.depth) {
      this.#violations.add(path, `must be at most ${filterBounds.depth} levels deep`);
      return undefined;
    }
    const { node } = filter;
    switch (node.case) {
      case "allOf":
        return this.#list("all", node.value, `${path}.all_of.filters`, depth);
      case "anyOf":
        return this.#list("any", node.value, `${path}.any_of.filters`, depth);
      case "not": {
        const inner = this.filter(node.value, `${path}.not`, depth + 1);
        return inner === undefined ? undefined : { node: "not", filter: inner };
      }
      case "condition":
        return this.#condition(node.value, `${path}.condition`);
      case undefined:
        this.#violations.add(path, "must be all_of, any_of, not or condition");
        return undefined;
    }
  }

  #list(
    node: "all" | "any",
    { filters }: FilterList,
    path: string,
    depth: number,
  ): Filter | undefined {
    if (filters.length === 0 || filters.length > filterBounds.listLength) {
      this.#violations.add(path, `must hold 1 to ${filterBounds.listLength} filters`);
      return undefined;
    }
    const parsed = filters.map((one, i) => this.filter(one, `${path}[${i}]`, depth + 1));
    const valid = parsed.filter((one) => one !== undefined);
    return valid.length === parsed.length ? { node, filters: valid } : undefined;
  }

  #condition(condition: ProtoCondition, path: string): Filter | undefined {
    this.#conditions += 1;
    if (this.#conditions > filterBounds.conditions) {
      if (this.#conditions === filterBounds.conditions + 1) {
        this.#violations.add(path, `a filter has at most ${filterBounds.conditions} conditions`);
      }
      return undefined;
    }
    const parsed = parseCondition(condition, { path, violations: this.#violations });
    return parsed === undefined ? undefined : { node: "condition", condition: parsed };
  }
}

function parseCondition(condition: ProtoCondition, place: Place): Condition | undefined {
  const { field } = condition;
  if (condition.test.case === undefined) {
    return refuse(place, "", "needs one of equals, one_of, range, exists, contains");
  }
  if (isOneOf(textFields, field)) {
    const test = parseTextTest(field, condition.test, place);
    return test && { on: "text", field, test };
  }
  if (isOneOf(timeFields, field)) {
    const test = parseTimeTest(field, condition.test, place);
    return test && { on: "time", field, test };
  }
  if (field === "vector") {
    if (condition.test.case === "exists") return { on: "vector", exists: condition.test.value };
    return refuse(place, `.${protoName(condition.test.case)}`, "vector knows only exists");
  }
  if (field.startsWith("metadata.")) {
    const path = field.slice("metadata.".length).split(".");
    if (path.length > filterBounds.pathSteps || path.includes("")) {
      const what = `a metadata path has 1 to ${filterBounds.pathSteps} steps, none of them empty`;
      return refuse(place, ".field", what);
    }
    const problem = textProblem(field);
    if (problem !== undefined) return refuse(place, ".field", problem);
    const test = parseMetadataTest(condition.test, place);
    return test && { on: "metadata", path, test };
  }
  const known = [...textFields, ...timeFields, "vector", "metadata.<path>"].join(", ");
  return refuse(place, ".field", `must be one of ${known}`);
}

type GivenTest = Exclude<ProtoCondition["test"], { case: undefined }>;

function parseTextTest(field: TextField, test: GivenTest, place: Place): TextTest | undefined {
  const text = (value: Value | undefined, at: string): string | undefined => {
    if (value?.kind.case !== "stringValue") return refuse(place, at, "must be a string");
    const problem = textProblem(value.kind.value);
    return problem === undefined ? value.kind.value : refuse(place, at, problem);
  };
  if (test.case === "contains") {
    const part = text(test.value, ".contains");
    return part === undefined ? undefined : { kind: "contains", text: part };
  }
  const named = (value: Value, at: string): string | undefined => {
    const given = text(value, at);
    if (given === undefined || field !== "memory_type" || isOneOf(memoryTypes, given)) return given;
    return refuse(place, at, `must be one of ${memoryTypes.join(", ")}`);
  };
  return parseTest(test, place, named, text);
}

function parseTimeTest(field: TimeField, test: GivenTest, place: Place): Test<Instant> | undefined {
  if (test.case === "contains") return refuse(place, ".contains", `${field} is a time`);
  const time = (value: Value, at: string): Instant | undefined => {
    const instant = value.kind.case === "stringValue" ? parseInstant(value.kind.value) : undefined;
    return instant ?? refuse(place, at, "must be a time as in RFC 3339");
  };
  return parseTest(test, place, time, time);
}

function parseMetadataTest(test: GivenTest, place: Place): MetadataTest | undefined {
  const json = (value: Value, at: string): PresentJson | undefined => {
    const given = jsonOf(value, maxValueDepth);
    if (given === undefined) return refuse(place, at, "must be a value, not nested too deep");
    if (given === null) return refuse(place, at, "must not be null: ask for exists = false");
    const problem = jsonProblem(given, maxValueDepth);
    return problem === undefined ? given : refuse(place, at, problem);
  };
  if (test.case === "contains") {
    const value = json(test.value, ".contains");
    return value === undefined ? undefined : { kind: "contains", value };
  }
  const bound = (value: Value, at: string): string | number | undefined => {
    const given = json(value, at);
    if (given === undefined || typeof given === "string" || typeof given === "number") return given;
    return refuse(place, at, "must be a string or a number");
  };
  const parsed = parseTest(test, place, json, bound);
  if (parsed?.kind === "range" && new Set(parsed.bounds.map((b) => typeof b.value)).size > 1) {
    return refuse(place, ".range", "bounds must be of one type");
  }
  return parsed;
}

/** All tests but `contains`, which means something else for each kind of field. */
function parseTest<T, R>(
  test: Exclude<GivenTest, { case: "contains" }>,
  place: Place,
  value: (value: Value, at: string) => T | undefined,
  bound: (value: Value, at: string) => R | undefined,
): Test<T, R> | undefined {
  switch (test.case) {
    case "equals": {
      const parsed = value(test.value, ".equals");
      return parsed === undefined ? undefined : { kind: "equals", value: parsed };
    }
    case "oneOf": {
      const given = test.value.values;
      if (given.length === 0 || given.length > filterBounds.listLength) {
        return refuse(place, ".one_of", `must hold 1 to ${filterBounds.listLength} values`);
      }
      const parsed = given.map((one, i) => value(one, `.one_of[${i}]`));
      const values = parsed.filter((one) => one !== undefined);
      return values.length === parsed.length ? { kind: "one_of", values } : undefined;
    }
    case "range":
      return parseRange(test.value, place, bound);
    case "exists":
      return { kind: "exists", exists: test.value };
  }
}

function parseRange<T, R>(
  range: Range,
  place: Place,
  parse: (value: Value, at: string) => R | undefined,
): Test<T, R> | undefined {
  if (range.gt && range.gte) return refuse(place, ".range", "takes gt or gte, not both");
  if (range.lt && range.lte) return refuse(place, ".range", "takes lt or lte, not both");
  const bounds: Bound<R>[] = [];
  let given = 0;
  for (const comparison of ["gt", "gte", "lt", "lte"] as const) {
    const value = range[comparison];
    if (value === undefined) continue;
    given += 1;
    const parsed = parse(value, `.range.${comparison}`);
    if (parsed !== undefined) bounds.push({ comparison, value: parsed });
  }
  if (given === 0) return refuse(place, ".range", "needs at least one bound");
  return bounds.length === given ? { kind: "range", bounds } : undefined;
}

/** Undefined where a value is not set or is nested deeper than `depth`. */
function jsonOf(value: Value, depth: number): JsonValue | undefined {
  const { kind } = value;
  switch (kind.case) {
    case undefined:
      return undefined;
    case "nullValue":
      return null;
    case "listValue": {
      if (depth === 0) return undefined;
      const list = kind.value.values.map((one) => jsonOf(one, depth - 1));
      const set = list.filter((one) => one !== undefined);
      return set.length === list.length ? set : undefined;
    }
    case "structValue": {
      if (depth === 0) return undefined;
      const entries: [string, JsonValue][] = [];
      for (const [key, field] of Object.entries(kind.value.fields)) {
        const one = jsonOf(field, depth - 1);
        if (one === undefined) return undefined;
        entries.push([key, one]);
      }
      // Takes a key such as __proto__ for a key like any other.
      return Object.fromEntries(entries);
    }
    default:
      return kind.value;
  }
}

function refuse(place: Place, at: string, description: string): undefined {
  place.violations.add(`${place.path}${at}`, description);
  return undefined;
}

function protoName(testCase: string): string {
  return testCase === "oneOf" ? "one_of" : testCase;
}

function isOneOf<const T extends string>(names: readonly T[], name: string): name is T {
  return (names as readonly string[]).includes(name);
}
