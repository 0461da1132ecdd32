import { fromJson, toJson } from "@bufbuild/protobuf";
import { TimestampSchema, type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import type { Violations } from "../../../shared/errors.ts";
import type { Condition, Filter, Range } from "../../../shared/gen/mahavishnu/type/v1/filter_pb.js";
import type { Entry } from "../catalogue.ts";
import type { JsonValue } from "../record.ts";
import {
  type Comparable,
  compare,
  contains,
  type EntryTest,
  jsonEquals,
  metadataAt,
  textFields,
  textOf,
  timeFields,
  timeOf,
} from "../record-filter.ts";

/** The bounds that the contract gives to filters. */
const mostLevels = 16;
const mostInList = 1_000;
const mostConditions = 5_000;
const mostSteps = 32;
const never: EntryTest = () => false;

/**
 * A filter of a request as a test of entries; undefined where there is none. `path` is where it
 * stands in the request; what is wrong with it is added to the violations.
 */
export function parseFilter(
  filter: Filter | undefined,
  path: string,
  violations: Violations,
): EntryTest | undefined {
  if (filter === undefined || filter.node.case === undefined) return undefined;
  return new Parser(violations).filter(filter, path, 1);
}

class Parser {
  readonly #violations: Violations;
  #conditions = 0;

  constructor(violations: Violations) {
    this.#violations = violations;
  }

  filter({ node }: Filter, path: string, level: number): EntryTest {
    if (level > mostLevels) return this.#refuse(path, `must be at most ${mostLevels} levels deep`);
    switch (node.case) {
      case "allOf": {
        const tests = this.#list(node.value.filters, `${path}.all_of.filters`, level);
        return (entry) => tests.every((test) => test(entry));
      }
      case "anyOf": {
        const tests = this.#list(node.value.filters, `${path}.any_of.filters`, level);
        return (entry) => tests.some((test) => test(entry));
      }
      case "not": {
        const test = this.filter(node.value, `${path}.not`, level + 1);
        return (entry) => !test(entry);
      }
      case "condition":
        return this.#condition(node.value, `${path}.condition`);
      case undefined:
        return this.#refuse(path, "must be all_of, any_of, not or condition");
    }
  }

  #list(filters: readonly Filter[], path: string, level: number): EntryTest[] {
    if (filters.length === 0 || filters.length > mostInList) {
      this.#refuse(path, `must hold 1 to ${mostInList} filters`);
      return [];
    }
    return filters.map((one, at) => this.filter(one, `${path}[${at}]`, level + 1));
  }

  #condition({ field, test }: Condition, path: string): EntryTest {
    if (++this.#conditions > mostConditions) {
      if (this.#conditions > mostConditions + 1) return never;
      return this.#refuse(path, `a filter has at most ${mostConditions} conditions`);
    }
    const text = textFields.find((one) => one === field);
    const time = timeFields.find((one) => one === field);
    if (text !== undefined) {
      if (test.case === "contains") {
        const part = this.#text(test.value, `${path}.contains`)?.toLowerCase() ?? "";
        return (entry) => textOf(entry, text)?.toLowerCase().includes(part) ?? false;
      }
      const read = (value: Value, at: string) => this.#text(value, at);
      return this.#test(test, path, (entry) => textOf(entry, text), read, read);
    }
    if (time !== undefined) {
      if (test.case === "contains") return this.#refuse(`${path}.contains`, `${field} is a time`);
      const read = (value: Value, at: string) => this.#time(value, at);
      return this.#test(test, path, (entry) => timeOf(entry, time), read, read);
    }
    if (!field.startsWith("metadata.")) {
      const known = [...textFields, ...timeFields, "metadata.<path>"].join(", ");
      return this.#refuse(`${path}.field`, `must be one of ${known}`);
    }
    const steps = field.slice("metadata.".length).split(".");
    if (steps.length > mostSteps || steps.includes("")) {
      const what = `a metadata path has 1 to ${mostSteps} steps, none of them empty`;
      return this.#refuse(`${path}.field`, what);
    }
    if (test.case === "contains") {
      const wanted = this.#json(test.value, `${path}.contains`) ?? null;
      return (entry) => contains(metadataAt(entry, steps), wanted);
    }
    return this.#test(
      test,
      path,
      (entry) => metadataAt(entry, steps),
      (value, at) => this.#json(value, at),
      (value, at) => this.#comparable(value, at),
    );
  }

  /** All tests but `contains`, which means something else for each kind of field. */
  #test(
    test: Exclude<Condition["test"], { case: "contains" }>,
    path: string,
    valueIn: (entry: Entry) => JsonValue | undefined,
    read: (value: Value, at: string) => JsonValue | undefined,
    readBound: (value: Value, at: string) => Comparable | undefined,
  ): EntryTest {
    switch (test.case) {
      case "equals": {
        const wanted = read(test.value, `${path}.equals`) ?? null;
        return (entry) => jsonEquals(valueIn(entry) ?? null, wanted) && wanted !== null;
      }
      case "oneOf": {
        const { values } = test.value;
        if (values.length === 0 || values.length > mostInList) {
          return this.#refuse(`${path}.one_of`, `must hold 1 to ${mostInList} values`);
        }
        const wanted = values.map((value, at) => read(value, `${path}.one_of[${at}]`) ?? null);
        return (entry) => {
          const value = valueIn(entry);
          return value !== undefined && wanted.some((one) => jsonEquals(value, one));
        };
      }
      case "range":
        return this.#range(test.value, `${path}.range`, valueIn, readBound);
      case "exists": {
        const wanted = test.value;
        return (entry) => (valueIn(entry) !== undefined) === wanted;
      }
      case undefined:
        return this.#refuse(path, "needs one of equals, one_of, range, exists, contains");
    }
  }

  #range(
    range: Range,
    path: string,
    valueIn: (entry: Entry) => JsonValue | undefined,
    read: (value: Value, at: string) => Comparable | undefined,
  ): EntryTest {
    if (range.gt && range.gte) return this.#refuse(path, "takes gt or gte, not both");
    if (range.lt && range.lte) return this.#refuse(path, "takes lt or lte, not both");
    const holds = {
      gt: (order: number) => order > 0,
      gte: (order: number) => order >= 0,
      lt: (order: number) => order < 0,
      lte: (order: number) => order <= 0,
    };
    const bounds = (["gt", "gte", "lt", "lte"] as const).flatMap((name) => {
      const given = range[name];
      return given === undefined
        ? []
        : [{ name, value: read(given, `${path}.${name}`), holds: holds[name] }];
    });
    if (bounds.length === 0) return this.#refuse(path, "needs at least one bound");
    const types = new Set(bounds.map(({ value }) => typeof value));
    if (types.size > 1) return this.#refuse(path, "bounds must be of one type");
    return (entry) => {
      const value = valueIn(entry);
      return bounds.every(
        (bound) => bound.value !== undefined && bound.holds(compare(value, bound.value)),
      );
    };
  }

  #text(value: Value, at: string): string | undefined {
    if (value.kind.case === "stringValue") return value.kind.value;
    this.#refuse(at, "must be a string");
    return undefined;
  }

  /** Whole microseconds, as records have them. */
  #time(value: Value, at: string): number | undefined {
    try {
      if (value.kind.case === "stringValue") {
        const { seconds, nanos } = fromJson(TimestampSchema, value.kind.value);
        return Number(seconds) * 1e6 + Math.trunc(nanos / 1e3);
      }
    } catch {
      // No time; said below.
    }
    this.#refuse(at, "must be a time as in RFC 3339");
    return undefined;
  }

  #comparable(value: Value, at: string): Comparable | undefined {
    const { kind } = value;
    if (kind.case === "stringValue" || kind.case === "numberValue") return kind.value;
    this.#refuse(at, "must be a string or a number");
    return undefined;
  }

  #json(value: Value, at: string): JsonValue | undefined {
    const { kind } = value;
    if (kind.case === "nullValue") {
      this.#refuse(at, "must not be null: ask for exists = false");
      return undefined;
    }
    try {
      return toJson(ValueSchema, value) as JsonValue;
    } catch {
      this.#refuse(at, "must be a value");
      return undefined;
    }
  }

  #refuse(path: string, description: string): EntryTest {
    this.#violations.add(path, description);
    return never;
  }
}
