import type { Entry } from "./catalogue.ts";
import { withoutMark } from "./mark.ts";
import type { JsonObject, JsonValue, RecordKind, StoredRecord } from "./record.ts";
import { parseMetadata } from "./stored-text.ts";

/** Whether an entry of the catalogue is meant. */
export type EntryTest = (entry: Entry) => boolean;

/** A value to compare with: a text, a number, or a time in microseconds since 1970. */
export type Comparable = string | number;

export const textFields = [
  "id",
  "memory_type",
  "source_system",
  "agent_id",
  "workflow_id",
  "repo_id",
  "content_hash",
] as const;
export type TextField = (typeof textFields)[number];
export const timeFields = ["create_time", "update_time", "expire_time"] as const;
export type TimeField = (typeof timeFields)[number];

/** What a record of each kind counts as, as a memory. */
const memoryTypes: Readonly<Record<RecordKind, string>> = {
  conversation: "agent",
  reflection: "insight",
  insight: "insight",
  entity: "insight",
};

/** A text field of a record as a memory; undefined where records have none. */
export function textOf({ record, hash }: Entry, field: TextField): string | undefined {
  switch (field) {
    case "id":
      return record.id;
    case "memory_type":
      return memoryTypes[record.kind];
    case "source_system":
      return "session-buddy";
    case "repo_id":
      return record.project === "" ? undefined : record.project;
    case "content_hash":
      return hash;
    case "agent_id":
    case "workflow_id":
      return undefined;
  }
}

/** A time of a record as a memory, in microseconds; undefined where it has none. */
export function timeOf({ record }: Entry, field: TimeField): number | undefined {
  switch (field) {
    case "create_time":
      return record.createMicros;
    case "update_time":
      return record.updateMicros;
    case "expire_time":
      return undefined;
  }
}

/** What stands at a path of the metadata that a record has as a memory. JSON null is nothing. */
export function metadataAt({ record }: Entry, path: readonly string[]): JsonValue | undefined {
  let value: JsonValue | undefined = metadataOf(record);
  for (const step of path) {
    if (!isObject(value) || !Object.hasOwn(value, step)) return undefined;
    value = value[step];
  }
  return value ?? undefined;
}

/** What is stored with a record, and beside it what the record has as fields of its own. */
function metadataOf(record: StoredRecord): JsonObject {
  const { tags, collection, insightType, confidence, era, kind } = record;
  return {
    ...withoutMark(parseMetadata(record.metadata)),
    ...(tags.length === 0 ? {} : { tags: [...tags] }),
    ...(collection === "" ? {} : { collection }),
    ...(insightType === "" ? {} : { insight_type: insightType }),
    ...(confidence === undefined ? {} : { confidence }),
    ...(era === "" ? {} : { era }),
    kind,
  };
}

/** A list that holds the value, or an object with equal entries under all keys of this one. */
export function contains(value: JsonValue | undefined, wanted: JsonValue): boolean {
  if (Array.isArray(value)) return value.some((element) => jsonEquals(element, wanted));
  if (!isObject(value) || !isObject(wanted)) return false;
  return Object.entries(wanted).every(
    ([key, entry]) => Object.hasOwn(value, key) && jsonEquals(value[key] ?? null, entry),
  );
}

export function jsonEquals(a: JsonValue, b: JsonValue): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((one, at) => jsonEquals(one, b[at] ?? null));
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

/** Numbers as numbers, texts by code point; NaN where they are of two types. */
export function compare(a: JsonValue | undefined, b: Comparable): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== "string" || typeof b !== "string") return Number.NaN;
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
