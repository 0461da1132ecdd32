import type { Logger } from "../../shared/logging.ts";
import { workflowMemoryId } from "./content-identity.ts";
import { type Call, within } from "./deadline.ts";
import type { Deliveries } from "./deliveries.ts";
import { isTransient } from "./errors.ts";
import type { MemoryUpdates } from "./memory-updates.ts";
import type { Operations } from "./operations.ts";
import type { OutboxItem, OutboxKind } from "./outbox-store.ts";
import { OutboxWorker } from "./outbox-worker.ts";
import type { PendingEmbeddings } from "./pending-embeddings.ts";
import type { Documents } from "./ports.ts";
import { Purge } from "./purge.ts";
import type { MemoryStore } from "./store.ts";
import type { Workflows } from "./workflows.ts";

export interface RecoveryParts {
  readonly store: MemoryStore;
  readonly documents: Documents;
  readonly operations: Operations;
  readonly updates: MemoryUpdates;
  readonly workflows: Workflows;
  readonly deliveries: Deliveries;
  readonly pendingEmbeddings: PendingEmbeddings;
  /** Whether insights are handed to Session-Buddy. */
  readonly sharing: boolean;
  /** False while database or vector store is away. */
  readonly mayWork: () => boolean;
  readonly idleMs: number;
  /** How long an item is left to who took it; what takes longer is done twice, without harm. */
  readonly leaseMs: number;
  readonly logger: Logger;
}

const itemBudgetMs = 25_000;
const embeddingBudgetMs = 100_000;
/** What failed although all parts answer is tried less and less often. */
const firstRetryMs = 5_000;
const lastRetryMs = 600_000;
const purgeEveryMs = 3_600_000;

/**
 * The background half of "nothing acknowledged is lost": one worker per kind of work, so that a
 * slow bridge holds up no embedding.
 */
export function startRecovery(parts: RecoveryParts): AsyncDisposable {
  const { store, idleMs, mayWork, logger } = parts;
  const worker = (
    kind: OutboxKind,
    batch: number,
    handle: (items: OutboxItem[], signal: AbortSignal) => Promise<void>,
    leaseMs = parts.leaseMs,
  ) => new OutboxWorker({ store, kind, batch, leaseMs, idleMs, mayWork, handle, logger });
  const each =
    (work: (item: OutboxItem, call: Call) => Promise<void>) =>
    (items: OutboxItem[], signal: AbortSignal) =>
      oneByOne(parts, items, signal, work);
  const workers: AsyncDisposable[] = [
    worker(
      "operation",
      8,
      each((item, call) => completeOperation(parts, item, call)),
    ),
    worker(
      "workflow",
      8,
      each((item, call) => catchUpWorkflow(parts, item, call)),
    ),
    worker(
      "update",
      8,
      each((item, call) => completeUpdate(parts, item, call)),
    ),
    worker(
      "deletion",
      32,
      each((item, call) => deleteAgain(parts, item, call)),
    ),
    worker(
      "embedding",
      16,
      (items, signal) => embedByTenant(parts, items, signal),
      embeddingBudgetMs * 1.5,
    ),
    ...(parts.sharing
      ? [worker("insight", 16, (items, signal) => deliverByTenant(parts, items, signal))]
      : []),
    new Purge({ store, documents: parts.documents, mayWork: parts.mayWork, logger }, purgeEveryMs),
  ];
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map((one) => one[Symbol.asyncDispose]()));
    },
  };
}

/** One failure does not keep the others waiting. */
async function oneByOne(
  { store, logger }: RecoveryParts,
  items: readonly OutboxItem[],
  signal: AbortSignal,
  work: (item: OutboxItem, call: Call) => Promise<void>,
): Promise<void> {
  for (const item of items) {
    try {
      await work(item, callOf(item.tenant, signal));
    } catch (error) {
      signal.throwIfAborted();
      logger.warn({ err: error, kind: item.kind, attempts: item.attempts }, "recovery has to wait");
      const delayMs = firstRetryMs * 2 ** Math.min(item.attempts - 1, 20);
      await store.putBack([item], Math.min(lastRetryMs, delayMs), signal);
    }
  }
}

async function completeOperation(
  { operations, logger }: RecoveryParts,
  item: OutboxItem,
  call: Call,
): Promise<void> {
  if (item.kind !== "operation") return;
  try {
    await operations.complete(call, item.operation);
  } catch (error) {
    if (isTransient(error)) throw error;
    logger.warn({ err: error, operation: item.id }, "took back what was refused for good");
    return;
  }
  logger.info({ tenant: item.tenant, operation: item.id }, "completed what was cut off");
}

async function completeUpdate(
  { updates, logger }: RecoveryParts,
  item: OutboxItem,
  call: Call,
): Promise<void> {
  if (item.kind !== "update") return;
  try {
    await updates.complete(call, item.update);
  } catch (error) {
    if (isTransient(error)) throw error;
    logger.warn({ err: error, update: item.id }, "took back a change that was refused for good");
    return;
  }
  logger.info({ tenant: item.tenant, update: item.id }, "completed a change that was cut off");
}

async function catchUpWorkflow(
  { workflows, documents, store }: RecoveryParts,
  item: OutboxItem,
  call: Call,
): Promise<void> {
  if (item.kind !== "workflow") return;
  if (await workflows.catchUp(call, item.workflowId, item.id)) return;
  // It was deleted while its document was written, which may have brought the document back.
  const memoryId = workflowMemoryId(item.workflowId);
  await within(call, itemBudgetMs, (peerCall) => documents.delete(peerCall, [memoryId]));
  await store.remove([item], call.signal);
}

async function deleteAgain(
  { documents, store }: RecoveryParts,
  item: OutboxItem,
  call: Call,
): Promise<void> {
  if (item.kind !== "deletion") return;
  await within(call, itemBudgetMs, (peerCall) => documents.delete(peerCall, [item.memoryId]));
  await store.remove([item], call.signal);
}

async function embedByTenant(
  { pendingEmbeddings }: RecoveryParts,
  items: readonly OutboxItem[],
  signal: AbortSignal,
): Promise<void> {
  const embeddings = items.filter((item) => item.kind === "embedding");
  for (const [tenant, own] of Map.groupBy(embeddings, (item) => item.tenant)) {
    await pendingEmbeddings.embed(callOf(tenant, signal, embeddingBudgetMs), own);
  }
}

async function deliverByTenant(
  { deliveries }: RecoveryParts,
  items: readonly OutboxItem[],
  signal: AbortSignal,
): Promise<void> {
  const insights = items.filter((item) => item.kind === "insight");
  for (const [tenant, own] of Map.groupBy(insights, (item) => item.tenant)) {
    await deliveries.deliver(callOf(tenant, signal), own);
  }
}

function callOf(tenant: string, signal: AbortSignal, budgetMs = itemBudgetMs): Call {
  return { tenant, signal, deadline: Date.now() + budgetMs };
}
