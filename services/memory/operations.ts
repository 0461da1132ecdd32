import { DependencyUnavailableError } from "../../shared/errors.ts";
import { newId } from "../../shared/ids.ts";
import type { Logger } from "../../shared/logging.ts";
import type { Call } from "./deadline.ts";
import type { DocumentWriter, EmbeddedAhead, Written } from "./document-writer.ts";
import { isTransient, MemoryNotFoundError, RequestIdReusedError } from "./errors.ts";
import { type InsightOfText, insightsOf } from "./insight-memory.ts";
import { knownIds } from "./known-memories.ts";
import type { NewMemory, Turn } from "./memory.ts";
import type {
  KnownRequest,
  NewTurn,
  Operation,
  OperationEnd,
  OperationStore,
  PendingEmbedding,
  RequestKey,
} from "./operation-store.ts";
import type { OutboxStore } from "./outbox-store.ts";
import type { Documents, InsightToDeliver } from "./ports.ts";

/** What an operation made of its memories. */
export interface OperationResult {
  /** One per memory, in order. */
  readonly written: readonly Written[];
  readonly turn: Turn | undefined;
}

/** How long taking an operation back may take. */
const shortBudgetMs = 5_000;

/**
 * Work that must happen whole or not at all although it spans the vector store and our database:
 * (1) record what is to be done, (2) write the documents, (3) record that it is done. Each step
 * may be repeated. What is cut off after (1) is completed by the worker, see `recovery.ts`. A call
 * is answered after (2) where (3) has nothing else to record.
 */
export class Operations {
  readonly #store: OperationStore & Pick<OutboxStore, "addEmbeddings">;
  readonly #writer: DocumentWriter;
  readonly #documents: Documents;
  readonly #shareInsights: boolean;
  readonly #graceMs: number;
  readonly #storeIsUp: () => Promise<boolean>;
  readonly #logger: Logger;
  /** Ends that nobody waits for. */
  readonly #ending = new Set<Promise<unknown>>();

  constructor(parts: {
    readonly store: OperationStore & Pick<OutboxStore, "addEmbeddings">;
    readonly writer: DocumentWriter;
    readonly documents: Documents;
    /** Whether insights are handed to Session-Buddy. */
    readonly shareInsights: boolean;
    /** How long the worker leaves an operation to the call that began it. */
    readonly graceMs: number;
    /** Whether the vector store answers; briefly looked at where it did not before. */
    readonly vectorStoreIsUp: () => Promise<boolean>;
    readonly logger: Logger;
  }) {
    this.#store = parts.store;
    this.#writer = parts.writer;
    this.#documents = parts.documents;
    this.#shareInsights = parts.shareInsights;
    this.#graceMs = parts.graceMs;
    this.#storeIsUp = parts.vectorStoreIsUp;
    this.#logger = parts.logger;
  }

  /**
   * Stores memories with their insights, a turn and a request id, as far as given. Resolves to
   * `known` where the request was made before. When the call fails, nothing remains of it, unless
   * it has a request id or dies half-way: then it is completed later, and its repetition answers.
   */
  async run(
    call: Call,
    memories: readonly NewMemory[],
    details: {
      readonly turn?: NewTurn | undefined;
      readonly request?: RequestKey | undefined;
    } = {},
  ): Promise<{ readonly known: KnownRequest } | OperationResult> {
    const operation = this.#plan(memories, details);
    await this.#requireStore();
    // The record and the vectors do not wait for each other; which insights are new is known later.
    const ahead =
      operation.documents.length === operation.mainCount
        ? this.#writer.embedAhead(call, operation.documents)
        : undefined;
    const begun = await this.#store.begin(
      call.tenant,
      operation,
      { ...details, graceMs: this.#graceMs },
      call.signal,
    );
    if ("known" in begun) {
      checkSamePayload(begun.known, details.request);
      return begun;
    }
    try {
      const written = await this.#apply(call, operation, { ahead, isFirst: true });
      const main = written[0];
      const turn =
        begun.turn === undefined || main?.kind !== "stored"
          ? begun.turn
          : { ...begun.turn, memoryId: main.id };
      return { written, turn };
    } catch (error) {
      await this.#giveUp(operation, call, error);
      throw error;
    }
  }

  /**
   * Stores memories that are stored once, whoever tells them first, and queues insights for
   * Session-Buddy. When the call fails, nothing remains of what it began, unless it dies.
   */
  async storeOnce(
    call: Call,
    documents: readonly NewMemory[],
    insights: readonly InsightToDeliver[],
  ): Promise<void> {
    await this.#requireStore();
    const operation: Operation = {
      id: newId(),
      documents,
      mainCount: 0,
      insights,
      turnId: undefined,
      request: undefined,
    };
    await this.#store.begin(call.tenant, operation, { graceMs: this.#graceMs }, call.signal);
    try {
      await this.#apply(call, operation);
    } catch (error) {
      await this.#giveUp(operation, call, error);
      throw error;
    }
  }

  /** Before anything is recorded: a call that cannot succeed leaves nothing to be taken back. */
  async #requireStore(): Promise<void> {
    if (await this.#storeIsUp()) return;
    throw new DependencyUnavailableError("vector-store", "vector-store does not answer");
  }

  /**
   * Steps (2) and (3) of an operation that was begun before. Resolves to what became of the
   * memories that the caller stores, in order. Throws where a lone one was refused; then the
   * operation is taken back, since it would be refused for ever.
   */
  async complete(call: Call, operation: Operation): Promise<readonly Written[]> {
    try {
      return await this.#apply(call, operation);
    } catch (error) {
      if (!isTransient(error)) await this.#takeBack(operation, call, error);
      throw error;
    }
  }

  async #apply(
    call: Call,
    operation: Operation,
    {
      ahead,
      isFirst = false,
    }: {
      readonly ahead?: EmbeddedAhead | undefined;
      /** Nobody has begun to write the documents before, and nobody else will meanwhile. */
      readonly isFirst?: boolean;
    } = {},
  ): Promise<readonly Written[]> {
    const { mainCount } = operation;
    const known = await knownIds(call, this.#documents, operation.documents.slice(mainCount));
    const documents =
      known.size === 0
        ? operation.documents
        : operation.documents.filter(({ id }) => !known.has(id));
    // The id of a turn's memory was made for it.
    const idsAreNew = isFirst && operation.turnId !== undefined;
    const written = await this.#writer.write(call, documents, { ahead, idsAreNew });
    const main = written.slice(0, mainCount);
    const first = main[0];
    const withoutVector = written.flatMap((one, index) =>
      one.kind === "refused" || one.withVector
        ? []
        : [{ memoryId: one.id, dedupScope: documents[index]?.dedupScope ?? "" }],
    );
    if (first?.kind === "refused" && mainCount === 1) {
      // Its insights are stored, and may belong to other memories too.
      await this.#store.addEmbeddings(call.tenant, withoutVector, 0, call.signal);
      throw first.error;
    }
    const end: OperationEnd = {
      subject: first?.kind === "stored" ? first.id : undefined,
      deduplicated: first?.kind === "stored" && first.deduplicated,
      withoutVector,
    };
    if (isFirst && canBeLeft(operation, end)) this.#endLater(call.tenant, operation);
    else await this.#store.finish(call.tenant, operation, end, call.signal);
    return main;
  }

  /** What was to be stored is durable. Where its end is not recorded, the worker does it again. */
  #endLater(tenant: string, operation: Operation): void {
    const ending = this.#store
      .endSoon(tenant, operation)
      .catch((err: unknown) => {
        this.#logger.warn({ err }, "the end of an operation was not recorded; it is done again");
      })
      .finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  /** Resolves when every end that nobody waits for is recorded. */
  async settled(): Promise<void> {
    await Promise.all(this.#ending);
  }

  #plan(
    memories: readonly NewMemory[],
    {
      turn,
      request,
    }: { readonly turn?: NewTurn | undefined; readonly request?: RequestKey | undefined },
  ): Operation {
    const insights = new Map<string, InsightOfText>();
    for (const insight of memories.flatMap(insightsOf)) {
      if (!insights.has(insight.memory.id)) insights.set(insight.memory.id, insight);
    }
    return {
      id: newId(),
      documents: [...memories, ...[...insights.values()].map(({ memory }) => memory)],
      mainCount: memories.length,
      insights: this.#shareInsights ? [...insights.values()].map(({ delivery }) => delivery) : [],
      turnId: turn?.id,
      request: request && { method: request.method, requestId: request.requestId },
    };
  }

  async #giveUp(operation: Operation, call: Call, error: unknown): Promise<void> {
    // The caller will come again under the same id and find what it began; but what is refused
    // would be refused for ever, or done when nobody expects it any more.
    if (operation.request !== undefined && isTransient(error)) return;
    await this.#takeBack(operation, call, error);
  }

  async #takeBack(operation: Operation, call: Call, error: unknown): Promise<void> {
    try {
      // The call's own signal may be the reason for giving up.
      const signal = AbortSignal.timeout(shortBudgetMs);
      // A write whose answer did not come may still be done, and then lacks a vector at most.
      const late = isTransient(error) ? operation.documents.map(toPending) : [];
      await this.#store.abandon(call.tenant, operation, late, signal);
    } catch (cause) {
      this.#logger.warn({ err: cause }, "an operation could not be taken back; it is completed");
    }
  }
}

/**
 * Whether nobody need wait for the end of an operation that did all else: it is of a turn that stands
 * as it was begun, with one memory whose id it made. Doing it once more changes nothing, and who
 * changes or deletes the memory sees to the operation first.
 */
function canBeLeft(
  { turnId, request, documents }: Operation,
  { subject, withoutVector }: OperationEnd,
): boolean {
  return (
    turnId !== undefined &&
    request === undefined &&
    documents.length === 1 &&
    subject === documents[0]?.id &&
    withoutVector.length === 0
  );
}

function toPending({ id, dedupScope }: NewMemory): PendingEmbedding {
  return { memoryId: id, dedupScope };
}

/**
 * Throws MemoryNotFoundError where what the request stored was deleted since, and
 * RequestIdReusedError where the payload is another one.
 */
export function checkSamePayload(known: KnownRequest, request: RequestKey | undefined): void {
  if (known.subject === "") throw new MemoryNotFoundError("");
  if (request !== undefined && known.payloadHash !== request.payloadHash) {
    throw new RequestIdReusedError(request.requestId);
  }
}
