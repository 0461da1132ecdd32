import { contentHash } from "../../../shared/hash.ts";
import { nameBasedId, normalisedText } from "../../../shared/text-identity.ts";
import type { JsonObject, JsonValue, SourceRecord } from "./source-record.ts";

/** A record as the memory keeps it. */
export interface TargetMemory {
  readonly id: string;
  readonly content: string;
  readonly memoryType: "agent" | "insight";
  readonly repoId: string;
  /** Within which memories equal content is the same; "": those of the same type and repository. */
  readonly dedupScope: string;
  readonly createMicros: bigint | undefined;
  readonly metadata: JsonObject;
}

/** What a document of the vector store may have of these. */
const mostRepoIdBytes = 256;
const mostMetadataBytes = 64 * 1024;
const mostMetadataDepth = 32;

/**
 * The memory of a record. Its id follows from what it says, so that migrating again, from whatever
 * file, finds it: insights have the id that the memory service gives to an equal insight that is
 * told; other records share one with those of the same type, project and text.
 */
export function toMemory(record: SourceRecord, migrationId: string): TargetMemory {
  // PostgreSQL keeps no NUL in a text.
  const content = contentOf(record).replaceAll("\0", "\ufffd");
  const memoryType = record.kind === "conversation" ? "agent" : "insight";
  const repoId = Buffer.byteLength(record.project) <= mostRepoIdBytes ? record.project : "";
  return {
    ...identityOf(record, content, memoryType, repoId),
    content,
    memoryType,
    repoId: repoId.replaceAll("\0", "\ufffd"),
    createMicros: record.createMicros ?? record.updateMicros,
    metadata: metadataOf(record, migrationId),
  };
}

function identityOf(
  record: SourceRecord,
  content: string,
  memoryType: string,
  repoId: string,
): Pick<TargetMemory, "id" | "dedupScope"> {
  const key = record.kind === "insight" ? normalisedText(content) : "";
  if (key !== "") {
    const id = nameBasedId(`insight:${key}`);
    return { id, dedupScope: `insight:${id}` };
  }
  const what = JSON.stringify([memoryType, repoId, contentHash(content)]);
  return { id: nameBasedId(`session-buddy:${what}`), dedupScope: "" };
}

/** An entity of the knowledge graph with its relations, one a line; other records as they are. */
function contentOf({ kind, content, metadata }: SourceRecord): string {
  const relations = kind === "entity" ? metadata["relations"] : undefined;
  if (!Array.isArray(relations)) return content;
  const lines = relations.flatMap((relation) => {
    if (!isObject(relation)) return [];
    const type = textIn(relation, "relation_type");
    const to = textIn(relation, "to_name") || textIn(relation, "to_entity");
    const line = `${type.replaceAll("_", " ")} ${to}`.trim();
    return line === "" ? [] : [line];
  });
  const known = new Set(content.split("\n"));
  return [content, ...lines.filter((line) => !known.has(line))].join("\n");
}

/** The keys under which searches show a record of Session-Buddy, and what a told insight has. */
function metadataOf(record: SourceRecord, migrationId: string): JsonObject {
  const { tags, project, collection, insightType, confidence, kind, era, id } = record;
  const quality = record.metadata["quality_score"];
  const own: JsonObject = {
    kind,
    era,
    origin_id: id,
    ...(migrationId === "" ? {} : { migration_id: migrationId }),
    ...(tags.length === 0 ? {} : { tags: [...tags] }),
    ...(project === "" ? {} : { project }),
    ...(collection === "" ? {} : { collection }),
    ...(insightType === "" ? {} : { insight_type: insightType }),
    ...(kind === "insight" ? { topics: [...tags] } : {}),
    ...(confidence === undefined ? {} : { confidence: readable(confidence) }),
    ...(kind === "insight" && typeof quality === "number" ? { quality } : {}),
    ...(record.updateMicros === undefined ? {} : { update_time: toIso(record.updateMicros) }),
  };
  const whole = { ...record.metadata, ...own };
  if (fits(whole)) return whole;
  // The record is worth more than what cannot be kept of its trimmings.
  const trimmed: JsonObject = { ...own, metadata_left_out: true };
  if (fits(trimmed)) return trimmed;
  return { kind, era, origin_id: id, migration_id: migrationId, metadata_left_out: true };
}

function fits(metadata: JsonObject): boolean {
  const depth = depthOf(metadata);
  if (depth > mostMetadataDepth) return false;
  const json = JSON.stringify(metadata);
  return Buffer.byteLength(json) <= mostMetadataBytes && !json.includes("\\u0000");
}

/** How deep a value is nested; stops counting where it is too deep anyway. */
function depthOf(value: JsonValue, limit = mostMetadataDepth + 1): number {
  if (typeof value !== "object" || value === null || limit === 0) return 0;
  let deepest = 0;
  for (const inner of Object.values(value)) deepest = Math.max(deepest, depthOf(inner, limit - 1));
  return deepest + 1;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textIn(object: JsonObject, key: string): string {
  const value = object[key];
  return typeof value === "string" ? value : "";
}

/** A single-precision number as people write it: 0.7, not 0.699999988079071. */
function readable(value: number): number {
  return Number(value.toPrecision(7));
}

function toIso(micros: bigint): string {
  return new Date(Number(micros / 1_000n)).toISOString();
}
