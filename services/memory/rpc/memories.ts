import type { Duration } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { Violations } from "../../../shared/errors.ts";
import type { Memory } from "../../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import type {
  DeleteMemoriesRequest,
  DeleteMemoryRequest,
  GetMemoryRequest,
  ListMemoriesRequest,
  StoreMemoryRequest,
} from "../../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { contentHash } from "../../../shared/hash.ts";
import { newId } from "../../../shared/ids.ts";
import { canonicalJson } from "../canonical-json.ts";
import {
  durationMicrosOf,
  memoryTypeOf,
  microsOf,
  toProtoEmbeddingState,
  toProtoInsight,
  toProtoMemory,
} from "../convert.ts";
import { checkJson } from "../json-checks.ts";
import { embeddingStateOf, type Memories, type MemoryToStore } from "../memories.ts";
import { ownSourceSystem } from "../memory.ts";
import { isPinned, withPin } from "../memory-change.ts";
import type { MemoryMetrics } from "../metrics.ts";
import type { RequestKey } from "../operation-store.ts";
import { callOf } from "./call.ts";
import { bounds, checkText, checkTimestamp, parseCount, parseFilter } from "./fields.ts";

export function memoryHandlers(memories: Memories, metrics: MemoryMetrics) {
  return {
    async storeMemory(request: StoreMemoryRequest, context: HandlerContext) {
      const { toStore, key } = parseStore(request);
      const answer = await metrics.storing(toStore.memory.memoryType, 1, () =>
        memories.store(callOf(context), toStore, key),
      );
      return {
        memory: toProtoMemory(answer.memory),
        deduplicated: answer.deduplicated,
        embeddingState: toProtoEmbeddingState(answer.embedding),
        insights: answer.insights.map(toProtoInsight),
      };
    },

    async getMemory({ id }: GetMemoryRequest, context: HandlerContext) {
      const memory = await memories.get(callOf(context), parseId(id));
      return {
        memory: toProtoMemory(memory),
        embeddingState: toProtoEmbeddingState(embeddingStateOf(memory)),
      };
    },

    async listMemories(request: ListMemoriesRequest, context: HandlerContext) {
      const violations = new Violations();
      const pageSize = parseCount(violations, "page_size", request.pageSize, 100);
      violations.throwIfAny();
      const filter = parseFilter(request.filter);
      const { pageToken, orderBy } = request;
      const page = await memories.list(callOf(context), { filter, pageSize, pageToken, orderBy });
      return { memories: page.memories.map(toProtoMemory), nextPageToken: page.nextPageToken };
    },

    async deleteMemory({ id }: DeleteMemoryRequest, context: HandlerContext) {
      const given = parseId(id);
      const count = await metrics.deleting(async () =>
        Number(await memories.delete(callOf(context), given)),
      );
      return { deleted: count > 0 };
    },

    async deleteMemories(request: DeleteMemoriesRequest, context: HandlerContext) {
      const filter = parseFilter(request.filter);
      if (filter === undefined) {
        const violations = new Violations();
        violations.add("filter", "must have a node: an empty filter would delete everything");
        violations.throwIfAny();
        return {};
      }
      const deletedCount = await metrics.deleting(() =>
        memories.deleteMatching(callOf(context), filter),
      );
      return { deletedCount: BigInt(deletedCount) };
    },
  };
}

function parseStore({ memory, requestId, ttl }: StoreMemoryRequest): {
  toStore: MemoryToStore;
  key: RequestKey | undefined;
} {
  const violations = new Violations();
  checkRequestId(violations, requestId);
  const parsed = parseMemory(violations, "memory", memory);
  const lifeMicros = parseTtl(violations, memory, ttl);
  violations.throwIfAny();
  // A made id differs from call to call and is no part of what the caller sent; nor is the time at
  // which a ttl ends.
  const { memory: told, idGiven } = parsed;
  const lives = lifeMicros === undefined ? {} : { ttl: lifeMicros };
  const payload = { ...told, id: idGiven ? told.id : "", ...lives };
  const expireTime =
    lifeMicros === undefined ? told.expireTime : BigInt(Date.now()) * 1_000n + lifeMicros;
  return {
    toStore: { memory: { ...told, expireTime }, idGiven },
    key: requestKey("StoreMemory", requestId, payload),
  };
}

const longestTtlMicros = 3_650n * 86_400_000_000n;

function parseTtl(
  violations: Violations,
  memory: Memory | undefined,
  ttl: Duration | undefined,
): bigint | undefined {
  const micros = durationMicrosOf(ttl);
  if (micros === undefined) return undefined;
  const within = micros > 0n && micros <= longestTtlMicros;
  violations.require(within, "ttl", "must be longer than 0 and at most 3650 days");
  violations.require(memory?.expireTime === undefined, "ttl", "not together with expire_time");
  violations.require(memory?.pinned !== true, "ttl", "a pinned memory does not expire");
  return micros;
}

/**
 * A memory as sent, parsed; what is wrong with it is added to the violations, and the result is
 * only meant for use where nothing was.
 */
export function parseMemory(
  violations: Violations,
  field: string,
  memory: Memory | undefined,
): MemoryToStore {
  if (memory === undefined) violations.add(field, "is required");
  const type = memory === undefined ? undefined : memoryTypeOf(memory.memoryType);
  if (memory !== undefined) {
    violations.require(type !== undefined, `${field}.memory_type`, "must be a known type");
    checkMemoryTexts(violations, field, memory);
    checkJson(violations, `${field}.metadata`, memory.metadata ?? {}, bounds.metadataBytes);
    checkTimestamp(violations, `${field}.create_time`, memory.createTime);
    checkTimestamp(violations, `${field}.expire_time`, memory.expireTime);
    const { expireTime } = memory;
    const future = expireTime === undefined || Number(expireTime.seconds) * 1000 > Date.now();
    violations.require(future, `${field}.expire_time`, "must be in the future");
    const pinned = memory.pinned || isPinned(memory.metadata ?? {});
    violations.require(
      expireTime === undefined || !pinned,
      `${field}.expire_time`,
      "a pinned memory does not expire",
    );
  }
  const idGiven = memory !== undefined && memory.id !== "";
  return {
    idGiven,
    memory: {
      id: idGiven ? memory.id : newId(),
      content: memory?.content ?? "",
      memoryType: type ?? "agent",
      sourceSystem: memory?.sourceSystem || ownSourceSystem,
      agentId: memory?.agentId ?? "",
      workflowId: memory?.workflowId ?? "",
      repoId: memory?.repoId ?? "",
      metadata: withPin(memory?.metadata ?? {}, memory?.pinned === true ? true : undefined),
      createTime: microsOf(memory?.createTime),
      expireTime: microsOf(memory?.expireTime),
      dedupScope: "",
    },
  };
}

function checkMemoryTexts(violations: Violations, field: string, memory: Memory): void {
  const { idBytes, contentBytes, sourceSystemBytes } = bounds;
  checkText(violations, `${field}.id`, memory.id, { max: idBytes });
  checkText(violations, `${field}.content`, memory.content, { min: 1, max: contentBytes });
  checkText(violations, `${field}.source_system`, memory.sourceSystem, { max: sourceSystemBytes });
  checkText(violations, `${field}.agent_id`, memory.agentId, { max: idBytes });
  checkText(violations, `${field}.workflow_id`, memory.workflowId, { max: idBytes });
  checkText(violations, `${field}.repo_id`, memory.repoId, { max: idBytes });
}

export function checkRequestId(violations: Violations, requestId: string): void {
  checkText(violations, "request_id", requestId, { max: bounds.requestIdBytes });
}

/** By what a repeated call is known again; undefined where it has no request id. */
export function requestKey(
  method: string,
  requestId: string,
  payload: unknown,
): RequestKey | undefined {
  if (requestId === "") return undefined;
  return { method, requestId, payloadHash: contentHash(canonicalJson(payload)) };
}

export function parseId(id: string): string {
  const violations = new Violations();
  checkText(violations, "id", id, { min: 1, max: bounds.idBytes });
  violations.throwIfAny();
  return id;
}
