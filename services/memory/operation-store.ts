import type { Micros, NewMemory, Role, Turn } from "./memory.ts";
import type { InsightToDeliver } from "./ports.ts";

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
