import type { Operation, PendingEmbedding } from "./operation-store.ts";
import type { InsightToDeliver } from "./ports.ts";
import type { MemoryUpdate } from "./update-store.ts";

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
