import type { HandlerContext } from "@connectrpc/connect";
import { Violations } from "../../../shared/errors.ts";
import type {
  ListMemoryVersionsRequest,
  UpdateMemoryRequest,
} from "../../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import {
  microsOf,
  toProtoEmbeddingState,
  toProtoInsight,
  toProtoMemory,
  toTimestamp,
} from "../convert.ts";
import { checkJson } from "../json-checks.ts";
import { isPinned, type MemoryChange } from "../memory-change.ts";
import type { MemoryUpdates } from "../memory-updates.ts";
import type { MemoryMetrics } from "../metrics.ts";
import { callOf } from "./call.ts";
import {
  bounds,
  checkText,
  checkTimestamp,
  invalidPageToken,
  parseCount,
  parsePageToken,
  toPageToken,
} from "./fields.ts";

const changeable = ["content", "metadata", "expire_time", "pinned"] as const;
const etagBytes = 128;

export function updateHandlers(updates: MemoryUpdates, metrics: MemoryMetrics) {
  return {
    async updateMemory(request: UpdateMemoryRequest, context: HandlerContext) {
      const { id, change, etag } = parseUpdate(request);
      const answer = await metrics.updating(() =>
        updates.update(callOf(context), id, change, etag),
      );
      return {
        memory: toProtoMemory(answer.memory),
        embeddingState: toProtoEmbeddingState(answer.embedding),
        insights: answer.insights.map(toProtoInsight),
      };
    },

    async listMemoryVersions(request: ListMemoryVersionsRequest, context: HandlerContext) {
      const query = parseList(request);
      const { versions, more } = await updates.versions(callOf(context), query);
      const last = versions.at(-1);
      return {
        versions: versions.map(({ version, memory, replaceTime }) => ({
          version,
          memory: toProtoMemory(memory),
          replaceTime: toTimestamp(replaceTime),
        })),
        nextPageToken:
          more && last !== undefined ? toPageToken([query.memoryId, last.version.toString()]) : "",
      };
    },
  };
}

function parseUpdate({ memory, updateMask, etag }: UpdateMemoryRequest): {
  readonly id: string;
  readonly change: MemoryChange;
  readonly etag: string;
} {
  const violations = new Violations();
  if (memory === undefined) violations.add("memory", "is required");
  const id = memory?.id ?? "";
  if (memory !== undefined) {
    checkText(violations, "memory.id", id, { min: 1, max: bounds.idBytes });
  }
  checkText(violations, "etag", etag, { max: etagBytes });
  const named = new Set(updateMask?.paths ?? []);
  const known = changeable.filter((path) => named.has(path));
  violations.require(
    known.length === named.size,
    "update_mask",
    `may name ${changeable.join(", ")} and nothing else`,
  );
  const set = {
    content: (memory?.content ?? "") !== "",
    metadata: memory?.metadata !== undefined,
    expire_time: memory?.expireTime !== undefined,
    pinned: memory?.pinned === true,
  };
  const fields = named.size > 0 ? known : changeable.filter((path) => set[path]);
  if (memory !== undefined && fields.length === 0) {
    violations.add("update_mask", "names no field, and none is set");
  }
  const has = (path: (typeof changeable)[number]) => fields.includes(path);
  const { content = "", metadata = {}, expireTime, pinned = false } = memory ?? {};
  if (has("content")) {
    checkText(violations, "memory.content", content, { min: 1, max: bounds.contentBytes });
  }
  if (has("metadata")) checkJson(violations, "memory.metadata", metadata, bounds.metadataBytes);
  if (has("expire_time") && expireTime !== undefined) {
    checkTimestamp(violations, "memory.expire_time", expireTime);
    const future = Number(expireTime.seconds) * 1000 > Date.now();
    violations.require(future, "memory.expire_time", "must be in the future");
    const pins = has("pinned") ? pinned : has("metadata") && isPinned(metadata);
    violations.require(!pins, "memory.expire_time", "a pinned memory does not expire");
  }
  violations.throwIfAny();
  return {
    id,
    etag,
    change: {
      ...(has("content") ? { content } : {}),
      ...(has("metadata") ? { metadata } : {}),
      ...(has("expire_time") ? { expireTime: microsOf(expireTime) ?? null } : {}),
      ...(has("pinned") ? { pinned } : {}),
    },
  };
}

function parseList(request: ListMemoryVersionsRequest) {
  const violations = new Violations();
  checkText(violations, "id", request.id, { min: 1, max: bounds.idBytes });
  const limit = parseCount(violations, "page_size", request.pageSize, 100);
  violations.throwIfAny();
  const [memoryId, before] = parsePageToken(request.pageToken, 2) ?? [];
  if (before === undefined) return { memoryId: request.id, before: undefined, limit };
  if (memoryId !== request.id || !/^\d{1,9}$/.test(before)) throw invalidPageToken();
  return { memoryId: request.id, before: Number(before), limit };
}
