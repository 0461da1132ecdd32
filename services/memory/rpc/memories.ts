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
  memoryTypeOf,
  microsOf,
  toProtoEmbeddingState,
  toProtoInsight,
  toProtoMemory,
} from "../convert.ts";
import { checkJson } from "../json-checks.ts";
import { embeddingStateOf, type Memories, type MemoryToStore } from "../memories.ts";
import { ownSourceSystem } from "../memory.ts";
import type { MemoryMetrics } from "../metrics.ts";
import type { RequestKey } from "../store.ts";
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
      const { pageToken } = request;
      const page = await memories.list(callOf(context), { filter, pageSize, pageToken });
      return { memories: page.memories.map(toProtoMemory), nextPageToken: page.nextPageToken };
    },

    async deleteMemory({ id }: DeleteMemoryRequest, context: HandlerContext) {
      return { deleted: await memories.delete(callOf(context), parseId(id)) };
    },

    async deleteMemories(request: DeleteMemoriesRequest, context: HandlerContext) {
      const filter = parseFilter(request.filter);
      if (filter === undefined) {
        const violations = new Violations();
        violations.add("filter", "must have a node: an empty filter would delete everything");
        violations.throwIfAny();
        return {};
      }
      const deletedCount = await memories.deleteMatching(callOf(context), filter);
      return { deletedCount: BigInt(deletedCount) };
    },
  };
}

function parseStore({ memory, requestId }: StoreMemoryRequest): {
  toStore: MemoryToStore;
  key: RequestKey | undefined;
} {
  const violations = new Violations();
  checkRequestId(violations, requestId);
  const toStore = parseMemory(violations, "memory", memory);
  violations.throwIfAny();
  // A made id differs from call to call and is no part of what the caller sent.
  const { memory: told, idGiven } = toStore;
  const payload = { ...told, id: idGiven ? told.id : "" };
  return { toStore, key: requestKey("StoreMemory", requestId, payload) };
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
      metadata: memory?.metadata ?? {},
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

function parseId(id: string): string {
  const violations = new Violations();
  checkText(violations, "id", id, { min: 1, max: bounds.idBytes });
  violations.throwIfAny();
  return id;
}
