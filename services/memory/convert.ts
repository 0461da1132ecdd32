import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Duration, DurationSchema, Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  type ConversationTurnSchema,
  InsightDelivery,
  type InsightSchema,
  Role as ProtoRole,
} from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import {
  type MemorySchema,
  EmbeddingState as ProtoEmbeddingState,
} from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import {
  type ConversationContextSchema,
  Source as ProtoSource,
  SourceStatus as ProtoSourceStatus,
  type SearchExplanationSchema,
  type SearchResultSchema,
  type SourceReportSchema,
} from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import {
  WorkflowStatus as ProtoWorkflowStatus,
  type WorkflowExecutionSchema,
} from "../../shared/gen/mahavishnu/memory/v1/workflow_pb.js";
import { MemoryType as ProtoMemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { workflowMemoryId } from "./content-identity.ts";
import type { TurnContext } from "./conversation-store.ts";
import type { ToldInsight } from "./insight-memory.ts";
import type { EmbeddingState, MemoryType, Micros, Role, StoredMemory, Turn } from "./memory.ts";
import { etagOf, isPinned } from "./memory-change.ts";
import type { VectorValues } from "./ports.ts";
import type { SourceReport, SourceStatus } from "./source-leg.ts";
import type { Source } from "./sources.ts";
import type { FoundMemory } from "./unified-search.ts";
import { summaryOf, type WorkflowExecution, type WorkflowStatus } from "./workflow.ts";

const protoMemoryTypes: Readonly<Record<MemoryType, ProtoMemoryType>> = {
  agent: ProtoMemoryType.AGENT,
  rag: ProtoMemoryType.RAG,
  workflow: ProtoMemoryType.WORKFLOW,
  insight: ProtoMemoryType.INSIGHT,
};
const protoRoles: Readonly<Record<Role, ProtoRole>> = {
  user: ProtoRole.USER,
  assistant: ProtoRole.ASSISTANT,
};
const protoWorkflowStatuses: Readonly<Record<WorkflowStatus, ProtoWorkflowStatus>> = {
  pending: ProtoWorkflowStatus.PENDING,
  running: ProtoWorkflowStatus.RUNNING,
  completed: ProtoWorkflowStatus.COMPLETED,
  failed: ProtoWorkflowStatus.FAILED,
};
const protoSources: Readonly<Record<Source, ProtoSource>> = {
  postgresql: ProtoSource.POSTGRESQL,
  session_buddy: ProtoSource.SESSION_BUDDY,
};
const protoSourceStatuses: Readonly<Record<SourceStatus, ProtoSourceStatus>> = {
  ok: ProtoSourceStatus.OK,
  degraded: ProtoSourceStatus.DEGRADED,
  failed: ProtoSourceStatus.FAILED,
  skipped: ProtoSourceStatus.SKIPPED,
};

/** The domain's word; undefined for UNSPECIFIED and for values that this contract does not know. */
export const memoryTypeOf = inverse(protoMemoryTypes);
export const roleOf = inverse(protoRoles);
export const workflowStatusOf = inverse(protoWorkflowStatuses);
export const sourceOf = inverse(protoSources);

export function toProtoMemoryType(type: MemoryType): ProtoMemoryType {
  return protoMemoryTypes[type];
}

export function toProtoEmbeddingState(state: EmbeddingState): ProtoEmbeddingState {
  return state === "ready" ? ProtoEmbeddingState.READY : ProtoEmbeddingState.PENDING;
}

function inverse<K extends string>(
  table: Readonly<Record<K, number>>,
): (value: number) => K | undefined {
  const byNumber = new Map<number, K>();
  for (const [key, value] of Object.entries(table) as [K, number][]) byNumber.set(value, key);
  return (value) => byNumber.get(value);
}

/** Components for a message that is only sent: not copied, since nobody writes to it. */
export function unchanged(values: VectorValues): number[] {
  return values as number[];
}

/** Nanoseconds below one microsecond are dropped: PostgreSQL does not keep them. */
export function microsOf(timestamp: Timestamp | undefined): Micros | undefined {
  if (timestamp === undefined) return undefined;
  return timestamp.seconds * 1_000_000n + BigInt(Math.trunc(timestamp.nanos / 1_000));
}

export function toTimestamp(micros: Micros): MessageInitShape<typeof TimestampSchema> {
  const remainder = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  return { seconds: (micros - remainder) / 1_000_000n, nanos: Number(remainder) * 1_000 };
}

export function durationMicrosOf(duration: Duration | undefined): bigint | undefined {
  if (duration === undefined) return undefined;
  return duration.seconds * 1_000_000n + BigInt(Math.trunc(duration.nanos / 1_000));
}

export function toDuration(micros: bigint): MessageInitShape<typeof DurationSchema> {
  return { seconds: micros / 1_000_000n, nanos: Number(micros % 1_000_000n) * 1_000 };
}

export function toProtoMemory(memory: StoredMemory): MessageInitShape<typeof MemorySchema> {
  const { createTime, updateTime, expireTime } = memory;
  return {
    id: memory.id,
    content: memory.content,
    memoryType: protoMemoryTypes[memory.memoryType],
    sourceSystem: memory.sourceSystem,
    agentId: memory.agentId,
    workflowId: memory.workflowId,
    repoId: memory.repoId,
    metadata: memory.metadata,
    contentHash: memory.contentHash,
    etag: etagOf(memory),
    pinned: isPinned(memory.metadata),
    ...(createTime === undefined ? {} : { createTime: toTimestamp(createTime) }),
    ...(updateTime === undefined ? {} : { updateTime: toTimestamp(updateTime) }),
    ...(expireTime === undefined ? {} : { expireTime: toTimestamp(expireTime) }),
  };
}

export function toProtoTurn(turn: Turn): MessageInitShape<typeof ConversationTurnSchema> {
  return {
    id: turn.id,
    agentId: turn.agentId,
    sessionId: turn.sessionId,
    sequence: turn.sequence,
    role: protoRoles[turn.role],
    content: turn.content,
    metadata: turn.metadata,
    memoryId: turn.memoryId,
    createTime: toTimestamp(turn.createTime),
  };
}

export function toProtoInsight(insight: ToldInsight): MessageInitShape<typeof InsightSchema> {
  const { memory, found, deliveryState } = insight;
  return {
    memoryId: memory.id,
    content: found.content,
    insightType: found.type,
    topics: [...found.topics],
    confidence: found.confidence,
    quality: found.quality,
    delivery:
      deliveryState === undefined
        ? InsightDelivery.UNSPECIFIED
        : deliveryState === "delivered"
          ? InsightDelivery.DELIVERED
          : InsightDelivery.QUEUED,
  };
}

export function toProtoExecution(
  execution: WorkflowExecution,
): MessageInitShape<typeof WorkflowExecutionSchema> {
  const { result, durationMicros } = execution;
  return {
    workflowId: execution.workflowId,
    adapter: execution.adapter,
    repos: [...execution.repos],
    status: protoWorkflowStatuses[execution.status],
    errorMessage: execution.errorMessage,
    summary: summaryOf(execution),
    memoryId: workflowMemoryId(execution.workflowId),
    createTime: toTimestamp(execution.createTime),
    updateTime: toTimestamp(execution.updateTime),
    ...(result === undefined ? {} : { result }),
    ...(durationMicros === undefined ? {} : { duration: toDuration(durationMicros) }),
  };
}

export function toProtoResult(
  found: FoundMemory,
  { explain }: { readonly explain: boolean },
): MessageInitShape<typeof SearchResultSchema> {
  const { createTime, vectorScore, textScore, context } = found;
  return {
    id: found.id,
    content: found.content,
    score: found.score,
    source: protoSources[found.source],
    memoryType: protoMemoryTypes[found.memoryType],
    sourceSystem: found.sourceSystem,
    metadata: found.metadata,
    foundIn: found.foundIn.map((source) => protoSources[source]),
    memoryId: found.memoryId ?? "",
    agentId: found.agentId,
    workflowId: found.workflowId,
    repoId: found.repoId,
    ...(createTime === undefined ? {} : { createTime: toTimestamp(createTime) }),
    ...(vectorScore === undefined ? {} : { vectorScore }),
    ...(textScore === undefined ? {} : { textScore }),
    ...(explain ? { explanation: toProtoExplanation(found) } : {}),
    ...(context === undefined ? {} : { context: toProtoContext(context) }),
  };
}

function toProtoExplanation({
  parts,
  folded,
}: FoundMemory): MessageInitShape<typeof SearchExplanationSchema> {
  const [best] = folded;
  return {
    ...parts,
    ...(best === undefined ? {} : { source: protoSources[best.source] }),
    sourceScores: folded.map(({ source, id, score }) => ({
      source: protoSources[source],
      id,
      score,
    })),
  };
}

function toProtoContext({
  before,
  turn,
  after,
}: TurnContext): MessageInitShape<typeof ConversationContextSchema> {
  return {
    before: before.map(toProtoTurn),
    turn: toProtoTurn(turn),
    after: after.map(toProtoTurn),
  };
}

export function toProtoReport(report: SourceReport): MessageInitShape<typeof SourceReportSchema> {
  return {
    source: protoSources[report.source],
    status: protoSourceStatuses[report.status],
    latency: toDuration(BigInt(Math.round(report.latencyMs * 1_000))),
    resultCount: report.resultCount,
    message: report.message,
  };
}
