import type { Micros, NewMemory, StoredMemory } from "./memory.ts";
import type { MemoryLinks, MemoryState } from "./memory-change.ts";
import type { Operation, PendingEmbedding } from "./operation-store.ts";
import type { InsightToDeliver } from "./ports.ts";

/** A change of a memory, from its record to its end. */
export interface MemoryUpdate {
  readonly id: string;
  readonly memoryId: string;
  /** The memory as it was when the change was planned: the version that the history keeps. */
  readonly before: StoredMemory;
  readonly after: MemoryState;
  /** Memories of the insights in a new content. */
  readonly documents: readonly NewMemory[];
  /** To be handed to Session-Buddy once the documents are stored. */
  readonly insights: readonly InsightToDeliver[];
}

/** A memory as it was before a change. */
export interface MemoryVersion {
  /** From 1, rising by one. */
  readonly version: number;
  readonly memory: StoredMemory;
  readonly replaceTime: Micros;
}

export interface UpdateStore {
  /** What else holds the memory, and its latest version: 0 where it was never changed. */
  links(
    tenant: string,
    memoryId: string,
    signal?: AbortSignal,
  ): Promise<MemoryLinks & { readonly version: number }>;
  /** An operation that is not finished and writes this memory: done later, it would undo a change. */
  operationOf(
    tenant: string,
    memoryId: string,
    signal?: AbortSignal,
  ): Promise<Operation | undefined>;
  /**
   * Records the update; a memory has one at a time. Nothing is recorded where another one is under
   * way, or where one ended since `version` was the latest: what the update is based on may then
   * be of yesterday. The worker leaves the update alone for `graceMs`. Older marks of deletion no
   * longer speak of the insights' memories.
   */
  beginUpdate(
    tenant: string,
    update: MemoryUpdate,
    details: { readonly version: number; readonly graceMs: number },
    signal?: AbortSignal,
  ): Promise<
    | { readonly kind: "begun" | "stale" }
    | { readonly kind: "underWay"; readonly update: MemoryUpdate }
  >;
  /**
   * Ends the update: keeps the version before, queues the insights and what needs a vector. False,
   * with nothing done, where it was ended or taken back meanwhile.
   */
  finishUpdate(
    tenant: string,
    update: MemoryUpdate,
    withoutVector: readonly PendingEmbedding[],
    signal?: AbortSignal,
  ): Promise<boolean>;
  /** Takes the update back, unless somebody finished it, or took it back, before. */
  abandonUpdate(
    tenant: string,
    update: MemoryUpdate,
    signal?: AbortSignal,
  ): Promise<"abandoned" | "finished">;
  /**
   * Versions of a memory, newest first, those below `before`; as many as fit into a message, and
   * one at least.
   */
  listVersions(
    tenant: string,
    query: {
      readonly memoryId: string;
      readonly before: number | undefined;
      readonly limit: number;
    },
    signal?: AbortSignal,
  ): Promise<{ readonly versions: readonly MemoryVersion[]; readonly more: boolean }>;
  /** Memories of all tenants that have versions, by tenant and id, those behind `after`. */
  versionedMemories(
    after: { readonly tenant: string; readonly memoryId: string } | undefined,
    limit: number,
    signal?: AbortSignal,
  ): Promise<{ readonly tenant: string; readonly memoryId: string }[]>;
  /** Removes all versions of these memories; how many. */
  forgetVersions(
    tenant: string,
    memoryIds: readonly string[],
    signal?: AbortSignal,
  ): Promise<number>;
}
