import { contentHash } from "../../shared/hash.ts";
import type { Logger } from "../../shared/logging.ts";
import { type Call, type PeerCall, remainingMs, withinOrUnavailable } from "./deadline.ts";
import type { Deliveries } from "./deliveries.ts";
import type { DocumentWriter, Written } from "./document-writer.ts";
import { MemoryNotFoundError } from "./errors.ts";
import { type FeatureSwitches, requireOn } from "./feature-switches.ts";
import { extractInsights } from "./insight-extraction.ts";
import { type InsightOfText, insightsOf, type ToldInsight } from "./insight-memory.ts";
import type { EmbeddingState, NewMemory, StoredMemory } from "./memory.ts";
import type { KnownRequest, PendingEmbedding, RequestKey } from "./operation-store.ts";
import type { Operations } from "./operations.ts";
import type { CallerFilter, Documents } from "./ports.ts";
import type { MemoryStore } from "./store.ts";

export interface StoredAnswer {
  readonly memory: StoredMemory;
  readonly deduplicated: boolean;
  readonly embedding: EmbeddingState;
  readonly insights: readonly ToldInsight[];
}

/** The outcome for one memory of many. */
export type BulkOutcome =
  | {
      readonly kind: "stored";
      readonly id: string;
      readonly deduplicated: boolean;
      readonly embedding: EmbeddingState;
    }
  | { readonly kind: "refused"; readonly error: unknown };

const readBudgetMs = 10_000;
/** Of what is left of a store's time, what reading back may take: its answer must still arrive. */
const readShare = 0.5;
const deletePage = 1_000;

/** A memory as the caller gives it; `idGiven` where the id is the caller's. */
export interface MemoryToStore {
  readonly memory: NewMemory;
  readonly idGiven: boolean;
}

/** Stores, reads and deletes memories. */
export class Memories {
  readonly #store: MemoryStore;
  readonly #documents: Documents;
  readonly #writer: DocumentWriter;
  readonly #operations: Operations;
  readonly #deliveries: Deliveries;
  readonly #switches: FeatureSwitches;
  readonly #graceMs: number;
  readonly #logger: Logger;

  constructor(parts: {
    readonly store: MemoryStore;
    readonly documents: Documents;
    readonly writer: DocumentWriter;
    readonly operations: Operations;
    readonly deliveries: Deliveries;
    readonly switches: FeatureSwitches;
    readonly graceMs: number;
    readonly logger: Logger;
  }) {
    this.#store = parts.store;
    this.#documents = parts.documents;
    this.#writer = parts.writer;
    this.#operations = parts.operations;
    this.#deliveries = parts.deliveries;
    this.#switches = parts.switches;
    this.#graceMs = parts.graceMs;
    this.#logger = parts.logger;
  }

  /** Stores one memory durably, its insights too. See `Operations.run` for what a failure leaves. */
  async store(
    call: Call,
    { memory, idGiven }: MemoryToStore,
    request: RequestKey | undefined,
  ): Promise<StoredAnswer> {
    this.#requireTypeOn(memory);
    if (idGiven) await this.#store.unmark(call.tenant, [memory.id], call.signal);
    const insights = insightsOf(memory);
    if (request === undefined && insights.length === 0) {
      const [written] = await this.#storePlain(call, [memory], !idGiven);
      if (written === undefined) throw new Error("a write of one memory has one outcome");
      if (written.kind === "refused") throw written.error;
      return this.#answerStored(call, memory, written, []);
    }
    const result = await this.#operations.run(call, [memory], { request });
    if (!("known" in result)) {
      const written = result.written[0];
      if (written?.kind !== "stored") throw new Error("a finished operation stored its memory");
      return this.#answerStored(call, memory, written, insights);
    }
    const repeated = await this.#repeat(call, memory, result.known, request, insights);
    // The first call was taken back meanwhile, so that this one is the first.
    return repeated ?? this.store(call, { memory, idGiven }, request);
  }

  /**
   * What a repeated request answers; what the first one left open is completed before. Undefined
   * where that one was taken back.
   */
  async #repeat(
    call: Call,
    memory: NewMemory,
    known: KnownRequest,
    request: RequestKey | undefined,
    insights: readonly InsightOfText[],
  ): Promise<StoredAnswer | undefined> {
    const { tenant, signal } = call;
    const open = request && (await this.#store.openOperation(tenant, request, signal));
    if (open !== undefined) {
      const [written] = await this.#operations.complete(call, open);
      // All that was to be stored was deleted before it was.
      if (written === undefined) throw new MemoryNotFoundError(known.subject);
      if (written.kind === "refused") throw written.error;
      return this.#answerStored(call, memory, written, insights);
    }
    // It ended after we learnt of it: only now does it say under which id the content stands.
    const ended = request && (await this.#store.knownRequest(tenant, request, signal));
    if (ended === undefined) return undefined;
    if (ended.subject === "") throw new MemoryNotFoundError(known.subject);
    const [stored, told] = await Promise.all([
      this.#read(call, ended.subject),
      this.#deliveries.deliverNow(call, insights),
    ]);
    const embedding = embeddingStateOf(stored);
    return { memory: stored, deduplicated: ended.deduplicated, embedding, insights: told };
  }

  /** Stores many; one outcome per memory, in order. Throws where none could be stored durably. */
  async storeMany(call: Call, memories: readonly MemoryToStore[]): Promise<BulkOutcome[]> {
    const given = memories.flatMap(({ memory, idGiven }) => (idGiven ? [memory.id] : []));
    if (given.length > 0) await this.#store.unmark(call.tenant, given, call.signal);
    const outcomes = new Map<NewMemory, BulkOutcome>();
    const plain: NewMemory[] = [];
    const telling: NewMemory[] = [];
    for (const { memory } of memories) {
      try {
        this.#requireTypeOn(memory);
        (extractInsights(memory.content).length > 0 ? telling : plain).push(memory);
      } catch (error) {
        outcomes.set(memory, { kind: "refused", error });
      }
    }
    const plainWritten = await this.#storePlain(call, plain);
    for (const [index, memory] of plain.entries()) {
      outcomes.set(memory, toOutcome(plainWritten[index]));
    }
    if (telling.length > 0) {
      const result = await this.#operations.run(call, telling);
      const written = "known" in result ? [] : result.written;
      for (const [index, memory] of telling.entries()) {
        outcomes.set(memory, toOutcome(written[index]));
      }
    }
    return memories.map(({ memory }) => outcomes.get(memory) ?? toOutcome(undefined));
  }

  /**
   * Memories without insights: one write is all, unless vectors are missing. Then a durable note
   * of that goes first, so that no memory can stay without its vector for ever.
   */
  async #storePlain(
    call: Call,
    memories: readonly NewMemory[],
    idsAreNew = false,
  ): Promise<Written[]> {
    const noted = new Set<string>();
    const beforeWrite = async (without: readonly NewMemory[]) => {
      for (const { id } of without) noted.add(id);
      await this.#store.addEmbeddings(
        call.tenant,
        without.map(toPending),
        this.#graceMs,
        call.signal,
      );
    };
    const written = await this.#writer.write(call, memories, { beforeWrite, idsAreNew });
    if (noted.size === 0) return written;
    const due: PendingEmbedding[] = [];
    const obsolete: string[] = [];
    memories.forEach((memory, index) => {
      const one = written[index];
      if (one?.kind === "stored" && !one.withVector) {
        due.push({ ...toPending(memory), memoryId: one.id });
      }
      const stays = one?.kind === "stored" && !one.withVector && one.id === memory.id;
      if (noted.has(memory.id) && !stays) obsolete.push(memory.id);
    });
    await this.#store.addEmbeddings(call.tenant, due, 0, call.signal);
    await this.#store.removeEmbeddings(call.tenant, obsolete, call.signal);
    return written;
  }

  /** What was stored is told as it stands, or as it was written where reading it back fails. */
  async #answerStored(
    call: Call,
    memory: NewMemory,
    { id, deduplicated, withVector }: Extract<Written, { kind: "stored" }>,
    insights: readonly InsightOfText[],
  ): Promise<StoredAnswer> {
    const budgetMs = remainingMs(call, readBudgetMs) * readShare;
    const [stored, told] = await Promise.all([
      this.#read(call, id, budgetMs).catch((error: unknown) => {
        this.#logger.warn({ err: error }, "a memory that was stored could not be read back");
        return asStored({ ...memory, id }, withVector);
      }),
      this.#deliveries.deliverNow(call, insights),
    ]);
    return { memory: stored, deduplicated, embedding: embeddingStateOf(stored), insights: told };
  }

  async get(call: Call, id: string): Promise<StoredMemory> {
    return this.#read(call, id);
  }

  async list(
    call: Call,
    page: {
      readonly filter: CallerFilter | undefined;
      readonly pageSize: number;
      readonly pageToken: string;
      readonly orderBy: string;
    },
  ): Promise<{ readonly memories: StoredMemory[]; readonly nextPageToken: string }> {
    return askStore(call, (peerCall) => this.#documents.list(peerCall, page));
  }

  /** Deletes a memory and all that belongs to it; how many memories were there: 0 or 1. */
  async delete(call: Call, id: string): Promise<boolean> {
    return (await this.#deleteAll(call, [id])) > 0;
  }

  /** Deletes every memory that matches; how many were there. */
  async deleteMatching(call: Call, filter: CallerFilter): Promise<number> {
    let deleted = 0;
    // Always the first page: what it held is gone before it is asked for again.
    for (;;) {
      call.signal.throwIfAborted();
      const { memories } = await this.list(call, {
        filter,
        pageSize: deletePage,
        pageToken: "",
        orderBy: "",
      });
      if (memories.length === 0) return deleted;
      const gone = await this.#deleteAll(
        call,
        memories.map(({ id }) => id),
      );
      deleted += gone;
      // Somebody else deletes the same: looking again would find them no sooner than they end.
      if (gone === 0) return deleted;
    }
  }

  async #deleteAll(call: Call, ids: readonly string[]): Promise<number> {
    const { tenant, signal } = call;
    const linked = await this.#store.forget(tenant, ids, this.#graceMs, signal);
    const deleted = await askStore(call, (peerCall) => this.#documents.delete(peerCall, ids));
    await this.#store.deleted(tenant, ids, signal);
    return Math.max(deleted, linked > 0 ? 1 : 0);
  }

  async #read(call: Call, id: string, budgetMs?: number): Promise<StoredMemory> {
    const ask = (peerCall: PeerCall) => this.#documents.get(peerCall, [id], { tellVectors: true });
    const [memory] = await askStore(call, ask, budgetMs);
    if (memory === undefined) throw new MemoryNotFoundError(id);
    return memory;
  }

  #requireTypeOn(memory: NewMemory): void {
    if (memory.memoryType === "agent") requireOn(this.#switches, "agentMemory");
  }
}

function askStore<T>(
  call: Call,
  ask: (peerCall: PeerCall) => Promise<T>,
  budgetMs = remainingMs(call, readBudgetMs),
): Promise<T> {
  return withinOrUnavailable(call, "vector-store", budgetMs, ask);
}

/** What the store holds after a write, as far as the writer knows. */
function asStored(memory: NewMemory, hasVector: boolean): StoredMemory {
  const { dedupScope: _, ...rest } = memory;
  const hash = contentHash(memory.content);
  return { ...rest, contentHash: hash, updateTime: undefined, hasVector };
}

export function embeddingStateOf(memory: StoredMemory): EmbeddingState {
  return memory.hasVector ? "ready" : "pending";
}

function toPending({ id, dedupScope }: NewMemory): PendingEmbedding {
  return { memoryId: id, dedupScope };
}

function toOutcome(written: Written | undefined): BulkOutcome {
  if (written === undefined) return { kind: "refused", error: new Error("no outcome was told") };
  if (written.kind === "refused") return written;
  const { id, deduplicated, withVector } = written;
  return { kind: "stored", id, deduplicated, embedding: withVector ? "ready" : "pending" };
}
