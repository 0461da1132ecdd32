import { create } from "@bufbuild/protobuf";
import {
  type Duration,
  DurationSchema,
  type Timestamp,
  TimestampSchema,
} from "@bufbuild/protobuf/wkt";
import { Violations } from "../../shared/errors.ts";
import {
  Delivery,
  RecordKind as RecordKindMessage,
  type Record as RecordMessage,
  RecordSchema,
} from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import {
  type ExportRecordsRequest,
  type ExportRecordsResponse,
  ExportRecordsResponseSchema,
  type GetStatusResponse,
  GetStatusResponseSchema,
  type SearchReflectionsRequest,
  type SearchReflectionsResponse,
  SearchReflectionsResponseSchema,
  type StoreInsightRequest,
  type StoreReflectionRequest,
} from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import type { BridgeStatus } from "./bridge-status.ts";
import type { ExportPart } from "./export.ts";
import { withoutMark } from "./mark.ts";
import {
  type Draft,
  type InsightType,
  insightTypes,
  type JsonObject,
  type RecordKind,
  type StoredRecord,
} from "./record.ts";
import { parseFilter } from "./rpc/parse-filter.ts";
import type { SearchAnswer, SearchQuery } from "./search.ts";
import type { TableRows } from "./store.ts";
import { parseMetadata } from "./stored-text.ts";
import { WallTime } from "./wall-time.ts";
import type { Stored } from "./writing.ts";

const longestQuery = 32 * 1024;
const longestContent = 64 * 1024;
const longestRequestId = 128;
const mostTags = 32;
const largestLimit = 1_000;
const defaultLimit = 10;

const kindMessages = {
  reflection: RecordKindMessage.REFLECTION,
  conversation: RecordKindMessage.CONVERSATION,
  insight: RecordKindMessage.INSIGHT,
  entity: RecordKindMessage.ENTITY,
} as const satisfies { readonly [K in RecordKind]: RecordKindMessage };

const kindNames = new Map<RecordKindMessage, RecordKind>(
  (Object.keys(kindMessages) as RecordKind[]).map((kind) => [kindMessages[kind], kind]),
);

/** @throws InvalidRequestError that names every wrong field. */
export function parseSearch(request: SearchReflectionsRequest, tenant: string): SearchQuery {
  const violations = new Violations();
  const { query, vector, model, limit, minScore } = request;
  requireText(violations, "query", query, longestQuery);
  violations.require(
    limit >= 0 && limit <= largestLimit,
    "limit",
    `must be 1 to ${largestLimit.toLocaleString("en")}, or 0 for ${defaultLimit}`,
  );
  violations.require(minScore >= 0 && minScore <= 1, "min_score", "must be 0 to 1");
  if (vector !== undefined) {
    violations.require(model !== "", "model", "is required with vector");
    violations.require(
      vector.values.length > 0 && vector.values.every(Number.isFinite),
      "vector",
      "must hold finite numbers, at least one",
    );
    violations.require(
      vector.values.some((value) => value !== 0),
      "vector",
      "must not be all zeros: it has no direction",
    );
  }
  const kinds = parseKinds(violations, request.kinds);
  const filter = parseFilter(request.filter, "filter", violations);
  violations.throwIfAny();
  return {
    tenant,
    text: query,
    vector: vector === undefined ? undefined : { values: vector.values, model },
    project: request.project,
    limit: limit === 0 ? defaultLimit : limit,
    minScore,
    kinds,
    filter,
  };
}

function parseKinds(
  violations: Violations,
  messages: readonly RecordKindMessage[],
): ReadonlySet<RecordKind> {
  const kinds = new Set<RecordKind>();
  messages.forEach((message, at) => {
    const kind = kindNames.get(message);
    if (kind === undefined) violations.add(`kinds[${at}]`, "is no known kind");
    else kinds.add(kind);
  });
  return kinds;
}

/** @throws InvalidRequestError that names every wrong field. */
export function parseInsight(request: StoreInsightRequest, tenant: string): Draft {
  const violations = new Violations();
  requireCommon(violations, request, "topics", request.topics);
  const { insightType, confidence = 0.5, quality = 0.5 } = request;
  const type = insightType === "" ? "general" : insightType;
  violations.require(
    isInsightType(type),
    "insight_type",
    `must be one of ${insightTypes.join(", ")}`,
  );
  violations.require(confidence >= 0 && confidence <= 1, "confidence", "must be 0 to 1");
  violations.require(quality >= 0 && quality <= 1, "quality", "must be 0 to 1");
  violations.throwIfAny();
  return {
    kind: "insight",
    content: request.content,
    tags: request.topics,
    project: request.project,
    requestId: request.requestId,
    tenant,
    metadata: (request.metadata ?? {}) as JsonObject,
    insight: {
      type: isInsightType(type) ? type : "general",
      confidence: readable(confidence),
      quality: readable(quality),
      sourceConversationId: request.sourceConversationId,
    },
  };
}

/** @throws InvalidRequestError that names every wrong field. */
export function parseReflection(request: StoreReflectionRequest, tenant: string): Draft {
  const violations = new Violations();
  requireCommon(violations, request, "tags", request.tags);
  violations.throwIfAny();
  return {
    kind: "reflection",
    content: request.content,
    tags: request.tags,
    project: request.project,
    requestId: request.requestId,
    tenant,
    metadata: (request.metadata ?? {}) as JsonObject,
  };
}

function requireCommon(
  violations: Violations,
  request: { readonly content: string; readonly requestId: string },
  tagsField: string,
  tags: readonly string[],
): void {
  requireText(violations, "content", request.content, longestContent);
  violations.require(
    Buffer.byteLength(request.requestId) <= longestRequestId,
    "request_id",
    `must be at most ${longestRequestId} bytes`,
  );
  violations.require(tags.length <= mostTags, tagsField, `must be at most ${mostTags}`);
  tags.forEach((tag, at) => {
    violations.require(tag.trim() !== "", `${tagsField}[${at}]`, "must not be blank");
  });
}

function requireText(violations: Violations, field: string, text: string, longest: number): void {
  const size = Buffer.byteLength(text);
  if (text.trim() === "") violations.add(field, "must not be blank");
  else if (size > longest) violations.add(field, `must be at most ${longest / 1024} KiB`);
}

function isInsightType(type: string): type is InsightType {
  return (insightTypes as readonly string[]).includes(type);
}

/** A float of the wire as people write it: 0.7, not 0.699999988079071. */
function readable(value: number): number {
  return Number(value.toPrecision(7));
}

export function toSearchResponse(answer: SearchAnswer): SearchReflectionsResponse {
  return create(SearchReflectionsResponseSchema, {
    hits: answer.hits.map(({ record, score, vectorScore, textScore }) => ({
      record: toRecord(record),
      score,
      ...(vectorScore === undefined ? {} : { vectorScore }),
      ...(textScore === undefined ? {} : { textScore }),
    })),
    stale: answer.staleness.length > 0,
    message: answer.staleness.join("; "),
  });
}

/** What both store calls answer. */
export function toStored({ id, deduplicated, delivery }: Stored) {
  return { id, deduplicated, delivery: deliveryMessages[delivery] };
}

const deliveryMessages = {
  written: Delivery.WRITTEN,
  queued: Delivery.QUEUED,
} as const satisfies { readonly [D in Stored["delivery"]]: Delivery };

/** @throws InvalidRequestError that names every wrong field. */
export function parseExport(request: ExportRecordsRequest) {
  const violations = new Violations();
  const kinds = parseKinds(violations, request.kinds);
  const { sourceTimeZone: zone } = request;
  const wallTime = zone === "" ? undefined : wallTimeOf(zone);
  violations.require(
    zone === "" || wallTime !== undefined,
    "source_time_zone",
    "must be an IANA time zone such as Europe/Berlin",
  );
  violations.throwIfAny();
  return { path: request.path, wallTime, kinds };
}

function wallTimeOf(zone: string): WallTime | undefined {
  try {
    return new WallTime(zone);
  } catch {
    return undefined;
  }
}

export function toExportResponse(part: ExportPart): ExportRecordsResponse {
  if ("begin" in part) {
    const { begin } = part;
    return create(ExportRecordsResponseSchema, {
      begin: {
        file: begin.file,
        eras: [...begin.eras],
        tables: begin.tables.map(toTableCount),
        unknownTables: [...begin.unknownTables],
        sourceTimeZone: begin.timeZone,
        recordRows: BigInt(begin.recordRows),
        lockHolder: holderName(begin.holder),
        unreadFiles: begin.unreadFiles.map(({ why }) => why),
      },
    });
  }
  if ("end" in part) {
    const { rows, records, folded, faults, leftOut } = part.end;
    return create(ExportRecordsResponseSchema, {
      end: {
        rows: BigInt(rows),
        records: BigInt(records),
        folded: BigInt(folded),
        faults: BigInt(faults),
        leftOut: BigInt(leftOut),
      },
    });
  }
  return create(ExportRecordsResponseSchema, {
    records: part.records.map(toRecord),
    faults: part.faults.map(({ reason, ...origin }) => ({ origin, reason })),
  });
}

function toTableCount({ file, table, era, rows }: TableRows) {
  return { file, table, era, rows: BigInt(rows) };
}

/** For people: undefined is free, "" a program whose name nobody knows. */
export function holderName(holder: string | undefined): string {
  return holder === "" ? "another program" : (holder ?? "");
}

function toRecord(record: StoredRecord): RecordMessage {
  const { confidence, createMicros, updateMicros } = record;
  return create(RecordSchema, {
    id: record.id,
    kind: kindMessages[record.kind],
    content: record.content,
    tags: [...record.tags],
    project: record.project,
    collection: record.collection,
    insightType: record.insightType,
    metadata: withoutMark(parseMetadata(record.metadata)),
    era: record.era,
    origins: record.origins.map((origin) => ({ ...origin })),
    ...(confidence === undefined ? {} : { confidence }),
    ...(createMicros === undefined ? {} : { createTime: toTimestamp(createMicros) }),
    ...(updateMicros === undefined ? {} : { updateTime: toTimestamp(updateMicros) }),
  });
}

export function toStatus(status: BridgeStatus): GetStatusResponse {
  const { snapshotAgeMs, lastWriteTime, oldestQueuedAgeMs } = status;
  return create(GetStatusResponseSchema, {
    file: status.file,
    readable: status.readable,
    eras: [...status.eras],
    tables: status.tables.map(toTableCount),
    unknownTables: [...status.unknownTables],
    lockHolder: status.lockHolder,
    queuedWrites: BigInt(status.queuedWrites),
    ...(oldestQueuedAgeMs === undefined ? {} : { oldestQueuedAge: toDuration(oldestQueuedAgeMs) }),
    indexedRecords: BigInt(status.indexedRecords),
    totalRecords: BigInt(status.totalRecords),
    message: status.message,
    ...(snapshotAgeMs === undefined ? {} : { snapshotAge: toDuration(snapshotAgeMs) }),
    ...(lastWriteTime === undefined ? {} : { lastWriteTime: toTimestamp(lastWriteTime * 1_000) }),
  });
}

/** From microseconds since 1970. */
export function toTimestamp(micros: number): Timestamp {
  const seconds = Math.floor(micros / 1e6);
  return create(TimestampSchema, {
    seconds: BigInt(seconds),
    nanos: (micros - seconds * 1e6) * 1_000,
  });
}

function toDuration(ms: number): Duration {
  const seconds = Math.floor(ms / 1_000);
  return create(DurationSchema, {
    seconds: BigInt(seconds),
    nanos: Math.round((ms - seconds * 1_000) * 1e6),
  });
}
