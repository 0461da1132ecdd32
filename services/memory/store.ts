import type { Micros, NewMemory, Role, StoredMemory, Turn } from "./memory.ts";
import type { MemoryLinks, MemoryState } from "./memory-change.ts";
import type { InsightToDeliver } from "./ports.ts";
import type { Neighbours } from "./scoring.ts";
import type { WorkflowExecution, WorkflowStatus } from "./workflow.ts";

/*
 * What the memory service itself keeps in its database. The documents are the vector store's; here
 * stands what makes work that spans both safe to repeat: each method is one transaction, and what
 * it promises holds after SIGKILL.
 */

/** A turn that has no place in its session yet. */
export interface NewTurn extends Omit<Turn, "sequence" | "createTime" | "metadata"> {
  readonly metadata: Turn["metadata"];
  readonly role: Role;
  readonly repoId: string;
  /** A later time than now counts as now; undefined: now. */
  readonly createTime: Micros | undefined;
}

/** By what a repeated call is known again: within a tenant and method. */
export interface RequestKey {
  readonly method: string;
  readonly requestId: string;
  /** Of the payload: another one under the same id is a mistake of the caller. */
  readonly payloadHash: string;
}

/** How a request that was made before ended, or will. */
export interface KnownRequest {
  readonly payloadHash: string;
  /**
   * The turn or memory that the first call made; after de-duplication the one that stays. Empty:
   * it was deleted.
   */
  readonly subject: string;
  readonly deduplicated: boolean;
}

/**
 * Documents that must reach the vector store together with what belongs to them. Recorded before
 * the first step, finished after the last; whatever lies between is done again by the worker.
 */
export interface Operation {
  readonly id: string;
  /** What the caller stores, then the memories of the insights in it. */
  readonly documents: readonly NewMemory[];
  /** How many of the documents the caller stores; 0 where they were deleted meanwhile. */
  readonly mainCount: number;
  /** To be handed to Session-Buddy once the documents are stored. */
  readonly insights: readonly InsightToDeliver[];
  readonly turnId: string | undefined;
  readonly request: Pick<RequestKey, "method" | "requestId"> | undefined;
}

/** What became of an operation's first document, and which documents still need a vector. */
export interface OperationEnd {
  /** The id under which the first document's content is stored; undefined: it was deleted before. */
  readonly subject: string | undefined;
  readonly deduplicated: boolean;
  readonly withoutVector: readonly PendingEmbedding[];
}

/** A document that is stored and has no vector yet. */
export interface PendingEmbedding {
  readonly memoryId: string;
  /** The scope that the document was written with; the vector store does not give it back. */
  readonly dedupScope: string;
}

export interface OperationStore {
  /**
   * Records the operation, its turn as the next of its session, and the request id, in one
   * transaction; resolves to the turn. Where the request id was used within the last 7 days
   * nothing is recorded and that request is answered. The worker leaves the operation alone for
   * `graceMs`. Older marks of deletion no longer speak of the insights' memories; for ids that a
   * caller gives there is `unmark`.
   */
  begin(
    tenant: string,
    operation: Operation,
    details: {
      readonly turn?: NewTurn | undefined;
      readonly request?: RequestKey | undefined;
      readonly graceMs: number;
    },
    signal?: AbortSignal,
  ): Promise<{ readonly known: KnownRequest } | { readonly turn: Turn | undefined }>;

  /**
   * Ends the operation: links turn and request to the memory that holds the content, queues the
   * insights (an insight that waits already is queued once), and queues what needs a vector.
   * False, with nothing done, where the operation was finished or abandoned meanwhile.
   */
  finish(
    tenant: string,
    operation: Operation,
    end: OperationEnd,
    signal?: AbortSignal,
  ): Promise<boolean>;

  /**
   * Ends an operation that has nothing to record but that, for whoever does not wait: a moment later
   * and together with others. False where it was finished or abandoned meanwhile.
   */
  endSoon(tenant: string, operation: Operation): Promise<boolean>;

  /**
   * Takes the operation back: its turn, its request id and itself. False, with nothing done,
   * where it was finished meanwhile. Documents in `late` may be written yet: they are queued for
   * the vector that they would lack, and stay, since others may come to share them.
   */
  abandon(
    tenant: string,
    operation: Operation,
    late: readonly PendingEmbedding[],
    signal?: AbortSignal,
  ): Promise<boolean>;

  /** How a request ended, or will; undefined where it is unknown, forgotten or was taken back. */
  knownRequest(
    tenant: string,
    key: Pick<RequestKey, "method" | "requestId">,
    signal?: AbortSignal,
  ): Promise<KnownRequest | undefined>;

  /** The operation that a request began and that is not finished. */
  openOperation(
    tenant: string,
    key: Pick<RequestKey, "method" | "requestId">,
    signal?: AbortSignal,
  ): Promise<Operation | undefined>;

  /** Forgets request ids that are older than 7 days; how many. */
  purgeRequests(signal?: AbortSignal): Promise<number>;
}

/** A turn and those around it, oldest first. */
export interface TurnContext {
  readonly before: readonly Turn[];
  readonly turn: Turn;
  readonly after: readonly Turn[];
}

export interface ConversationStore {
  /** Whether the tenant has any turn. */
  hasTurns(tenant: string, signal?: AbortSignal): Promise<boolean>;
  /**
   * The memories of the turns before and after each of these memories' turns, by memory id; those
   * that are no turns are left out. Of several turns of one memory the latest counts.
   */
  neighbours(
    tenant: string,
    memoryIds: readonly string[],
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<string, Neighbours>>;
  /**
   * The turns of these memories with up to `turns` on either side, by memory id, as `neighbours`
   * chooses them. Begins with the first id and ends where all turns together would have more than
   * `maxBytes` of content and metadata.
   */
  contexts(
    tenant: string,
    memoryIds: readonly string[],
    turns: number,
    maxBytes: number,
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<string, TurnContext>>;
  turn(tenant: string, id: string, signal?: AbortSignal): Promise<Turn | undefined>;
  /** Turns of a session by sequence, those after `afterSequence`; `agentId` empty: of any agent. */
  listTurns(
    tenant: string,
    query: {
      readonly sessionId: string;
      readonly agentId: string;
      readonly afterSequence: bigint;
      readonly limit: number;
    },
    signal?: AbortSignal,
  ): Promise<Turn[]>;
}

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

/** A place in the order "last updated first, then by id". */
export interface WorkflowCursor {
  readonly updateTime: Micros;
  readonly workflowId: string;
}

export interface WorkflowStore {
  /**
   * Records the execution, or its new state, together with a mark that its document is behind.
   * Resolves to the row and the mark's id. The worker leaves the mark alone for `graceMs`.
   */
  record(
    tenant: string,
    execution: WorkflowExecution,
    graceMs: number,
    signal?: AbortSignal,
  ): Promise<{ readonly execution: WorkflowExecution; readonly markId: string }>;
  workflow(
    tenant: string,
    workflowId: string,
    signal?: AbortSignal,
  ): Promise<WorkflowExecution | undefined>;
  /**
   * Removes the mark and queues the embedding where one is given, if the execution is still at
   * `revision`. False, with the mark left, where it was recorded again meanwhile.
   */
  documentWritten(
    tenant: string,
    written: {
      readonly markId: string;
      readonly workflowId: string;
      readonly revision: bigint;
      readonly withoutVector: PendingEmbedding | undefined;
    },
    signal?: AbortSignal,
  ): Promise<boolean>;
  listWorkflows(
    tenant: string,
    query: {
      readonly status: WorkflowStatus | undefined;
      readonly adapter: string;
      readonly repoId: string;
      /** Inclusive. */
      readonly from: Micros | undefined;
      /** Exclusive. */
      readonly to: Micros | undefined;
      readonly after: WorkflowCursor | undefined;
      readonly limit: number;
    },
    signal?: AbortSignal,
  ): Promise<WorkflowExecution[]>;
}

/** Work that waits: what it is about depends on its kind. */
export type OutboxItem = {
  readonly tenant: string;
  readonly id: string;
  /** How often it was taken up, this time included. */
  readonly attempts: number;
  /** How long it has waited. */
  readonly ageMs: number;
} & OutboxWork;

export type OutboxWork =
  /** An operation that may have been cut off. */
  | { readonly kind: "operation"; readonly operation: Operation }
  /** A workflow execution whose document may be behind its row. */
  | { readonly kind: "workflow"; readonly workflowId: string }
  /** A document without a vector. */
  | ({ readonly kind: "embedding" } & PendingEmbedding)
  /** An insight for Session-Buddy. */
  | { readonly kind: "insight"; readonly insight: InsightToDeliver }
  /** A change of a memory that may have been cut off. */
  | { readonly kind: "update"; readonly update: MemoryUpdate }
  /** A memory that was deleted and may still, or again, have a document. */
  | { readonly kind: "deletion"; readonly memoryId: string };

export type OutboxKind = OutboxWork["kind"];

export interface OutboxStore {
  /**
   * Takes up to `limit` items of a kind that are due, of all tenants, oldest first, and hides them
   * from other takers for `leaseMs`. What is not removed or put back comes again after that.
   */
  take(
    kind: OutboxKind,
    limit: number,
    leaseMs: number,
    signal?: AbortSignal,
  ): Promise<OutboxItem[]>;
  /** Takes the insights of these memories that wait, due or not, as `take` does. */
  takeInsights(
    tenant: string,
    memoryIds: readonly string[],
    leaseMs: number,
    signal?: AbortSignal,
  ): Promise<OutboxItem[]>;
  /** Done. */
  remove(items: readonly Pick<OutboxItem, "tenant" | "id">[], signal?: AbortSignal): Promise<void>;
  /** Not done: due again after `delayMs`. */
  putBack(
    items: readonly Pick<OutboxItem, "tenant" | "id">[],
    delayMs: number,
    signal?: AbortSignal,
  ): Promise<void>;
  /** Which of these memories hold an insight that waits for Session-Buddy. */
  waitingInsights(
    tenant: string,
    memoryIds: readonly string[],
    signal?: AbortSignal,
  ): Promise<ReadonlySet<string>>;
  /** How many items wait, of all tenants, by kind; kinds of which none waits are left out. */
  waiting(signal?: AbortSignal): Promise<Readonly<Record<string, number>>>;
  /** Queues documents for embedding, each once; due after `delayMs`. */
  addEmbeddings(
    tenant: string,
    pending: readonly PendingEmbedding[],
    delayMs: number,
    signal?: AbortSignal,
  ): Promise<void>;
  /** Takes queued embeddings back. */
  removeEmbeddings(
    tenant: string,
    memoryIds: readonly string[],
    signal?: AbortSignal,
  ): Promise<void>;
}

export interface DeletionStore {
  /**
   * Removes all that belongs to these memories: turns and workflow executions that hold them,
   * versions and changes under way, insights that wait, embeddings and operations' documents that
   * wait, with operations that have none left. Of request ids that stored them nothing remains but
   * that they were used: such a request is known with an empty subject. Leaves a mark per memory
   * until `deleted`. How many turns and executions went.
   */
  forget(
    tenant: string,
    memoryIds: readonly string[],
    graceMs: number,
    signal?: AbortSignal,
  ): Promise<number>;
  /**
   * The documents are gone. A mark whose memory was being embedded stays, since that may write the
   * document once more; the worker then deletes it again.
   */
  deleted(tenant: string, memoryIds: readonly string[], signal?: AbortSignal): Promise<void>;
  /** These ids are given to new memories: older marks no longer speak of them. */
  unmark(tenant: string, memoryIds: readonly string[], signal?: AbortSignal): Promise<void>;
}

export interface MemoryStore
  extends OperationStore,
    ConversationStore,
    WorkflowStore,
    OutboxStore,
    DeletionStore,
    UpdateStore {}
