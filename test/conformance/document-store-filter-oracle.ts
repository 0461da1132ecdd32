import type { StoredDocument } from "../../services/vector-store/document.ts";
import type {
  Bound,
  Comparison,
  Condition,
  Filter,
  MetadataTest,
  Test,
  TextField,
  TextTest,
  TimeField,
} from "../../services/vector-store/filter.ts";
import type { JsonObject, JsonValue, PresentJson } from "../../services/vector-store/json.ts";

/** What a filter means, said without a database. */
export function matches(filter: Filter, document: StoredDocument): boolean {
  switch (filter.node) {
    case "all":
      return filter.filters.every((one) => matches(one, document));
    case "any":
      return filter.filters.some((one) => matches(one, document));
    case "not":
      return !matches(filter.filter, document);
    case "condition":
      return holds(filter.condition, document);
  }
}

function holds(condition: Condition, document: StoredDocument): boolean {
  switch (condition.on) {
    case "text":
      return textHolds(condition.test, textOf(document, condition.field));
    case "time":
      return tested(condition.test, timeOf(document, condition.field), Object.is, compareOrdered);
    case "vector":
      return condition.exists === (document.vector !== undefined);
    case "metadata":
      return metadataHolds(condition.test, valueAt(document.metadata, condition.path));
  }
}

function textHolds(test: TextTest, value: string | undefined): boolean {
  if (test.kind !== "contains") return tested(test, value, Object.is, compareText);
  return value?.toLowerCase().includes(test.text.toLowerCase()) ?? false;
}

function metadataHolds(test: MetadataTest, value: PresentJson | undefined): boolean {
  if (test.kind === "contains") return contains(value, test.value);
  if (test.kind === "range") {
    return test.bounds.every((bound) => {
      if (typeof value === "number" && typeof bound.value === "number") {
        return inBound(bound.comparison, value - bound.value);
      }
      if (typeof value === "string" && typeof bound.value === "string") {
        return inBound(bound.comparison, compareText(value, bound.value));
      }
      return false;
    });
  }
  return tested(test, value, jsonEquals, () => Number.NaN);
}

function tested<T, R extends T>(
  test: Test<T, R>,
  value: T | undefined,
  equals: (a: T, b: T) => boolean,
  compare: (a: T, b: R) => number,
): boolean {
  if (test.kind === "exists") return test.exists === (value !== undefined);
  if (value === undefined) return false;
  switch (test.kind) {
    case "equals":
      return equals(value, test.value);
    case "one_of":
      return test.values.some((one) => equals(value, one));
    case "range":
      return test.bounds.every((bound: Bound<R>) =>
        inBound(bound.comparison, compare(value, bound.value)),
      );
  }
}

function contains(value: PresentJson | undefined, wanted: PresentJson): boolean {
  if (Array.isArray(value)) return value.some((element) => jsonEquals(element, wanted));
  if (!isObject(value) || !isObject(wanted)) return false;
  return Object.entries(wanted).every(
    ([key, entry]) => Object.hasOwn(value, key) && jsonEquals(value[key] ?? null, entry),
  );
}

function jsonEquals(a: JsonValue, b: JsonValue): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((one, i) => jsonEquals(one, b[i] ?? null));
  }
  if (isObject(a) && isObject(b)) {
    const keys = Object.keys(a);
    return (
      keys.length === Object.keys(b).length &&
      keys.every((key) => Object.hasOwn(b, key) && jsonEquals(a[key] ?? null, b[key] ?? null))
    );
  }
  return a === b;
}

function valueAt(metadata: JsonObject, path: readonly string[]): PresentJson | undefined {
  let value: JsonValue | undefined = metadata;
  for (const step of path) {
    if (!isObject(value) || !Object.hasOwn(value, step)) return undefined;
    value = value[step];
  }
  return value ?? undefined;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function inBound(comparison: Comparison, order: number): boolean {
  switch (comparison) {
    case "gt":
      return order > 0;
    case "gte":
      return order >= 0;
    case "lt":
      return order < 0;
    case "lte":
      return order <= 0;
  }
}

/** By code point, which is the order of the bytes in UTF-8. */
function compareText(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function compareOrdered(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function textOf(document: StoredDocument, field: TextField): string | undefined {
  switch (field) {
    case "id":
      return document.id;
    case "memory_type":
      return document.memoryType;
    case "source_system":
      return document.sourceSystem;
    case "agent_id":
      return document.agentId;
    case "workflow_id":
      return document.workflowId;
    case "repo_id":
      return document.repoId;
    case "content_hash":
      return document.contentHash;
  }
}

function timeOf(document: StoredDocument, field: TimeField): bigint | undefined {
  switch (field) {
    case "create_time":
      return document.createTime;
    case "update_time":
      return document.updateTime;
    case "expire_time":
      return document.expireTime;
  }
}
