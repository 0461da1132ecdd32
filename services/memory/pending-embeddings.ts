import { type Call, within } from "./deadline.ts";
import { isMismatch } from "./document-writer.ts";
import type { NewMemory, StoredMemory } from "./memory.ts";
import type { Documents, VectorValues } from "./ports.ts";
import type { OutboxItem, OutboxStore } from "./store.ts";
import type { Vectors } from "./vectors.ts";

type EmbeddingItem = Extract<OutboxItem, { kind: "embedding" }>;

/** A note without a document may be ahead of a write that is still on its way; so long none is. */
const orphanMs = 600_000;
const readBudgetMs = 10_000;
const writeBudgetMs = 20_000;
/** Embedding does not answer at all: all wait a little. It refuses one text: that one waits longer. */
const downRetryMs = 5_000;
const refusedRetryMs = 60_000;
const lastRetryMs = 3_600_000;

/** Gives documents that were stored without a vector the one that they lack. */
export class PendingEmbeddings {
  readonly #store: OutboxStore;
  readonly #documents: Documents;
  readonly #vectors: Vectors;

  constructor(store: OutboxStore, documents: Documents, vectors: Vectors) {
    this.#store = store;
    this.#documents = documents;
    this.#vectors = vectors;
  }

  /** Works through items of one tenant that were taken. Throws where the vector store is down. */
  async embed(call: Call, items: readonly EmbeddingItem[]): Promise<void> {
    const stored = await this.#read(call, items);
    const open: { item: EmbeddingItem; memory: StoredMemory }[] = [];
    for (const item of items) {
      const memory = stored.get(item.memoryId);
      if (memory !== undefined && !memory.hasVector) open.push({ item, memory });
      else if (memory !== undefined || item.ageMs > orphanMs) {
        await this.#store.remove([item], call.signal);
      } else await this.#store.putBack([item], downRetryMs, call.signal);
    }
    if (open.length === 0) return;
    const { model, vectors } = await this.#vectors.embedInBackground(
      call,
      open.map(({ memory }) => memory.content),
    );
    const embedded = open.flatMap(({ item, memory }, index) => {
      const vector = vectors[index];
      return vector === undefined ? [] : [{ item, memory, vector }];
    });
    const done = await this.#write(call, embedded, model);
    await this.#store.remove(
      embedded.filter(({ item }) => done.has(item)).map(({ item }) => item),
      call.signal,
    );
    const down = model === "";
    for (const { item } of open) {
      if (done.has(item)) continue;
      const refused = !down && !embedded.some((one) => one.item === item);
      const delayMs = refused ? refusedRetryMs * 2 ** Math.min(item.attempts, 20) : downRetryMs;
      await this.#store.putBack([item], Math.min(lastRetryMs, delayMs), call.signal);
    }
  }

  /** Writes the vectors of documents that have not changed meanwhile; which items are done. */
  async #write(
    call: Call,
    embedded: readonly {
      readonly item: EmbeddingItem;
      readonly memory: StoredMemory;
      readonly vector: VectorValues;
    }[],
    model: string,
  ): Promise<ReadonlySet<EmbeddingItem>> {
    const now = await this.#read(
      call,
      embedded.map(({ item }) => item),
    );
    const writes = embedded.flatMap(({ item, memory, vector }) => {
      const current = now.get(item.memoryId);
      if (current?.contentHash !== memory.contentHash) return [];
      return [{ item, write: { memory: asWritten(current, item.dedupScope), vector } }];
    });
    if (writes.length === 0) return new Set();
    try {
      const outcomes = await within(call, writeBudgetMs, (peerCall) =>
        this.#documents.upsert(
          peerCall,
          writes.map(({ write }) => write),
          model,
        ),
      );
      const done = writes.filter((_, index) => outcomes[index]?.kind !== "refused");
      return new Set(done.map(({ item }) => item));
    } catch (error) {
      if (isMismatch(error)) this.#vectors.forgetModel(call.tenant);
      throw error;
    }
  }

  async #read(
    call: Call,
    items: readonly EmbeddingItem[],
  ): Promise<ReadonlyMap<string, StoredMemory>> {
    if (items.length === 0) return new Map();
    const ids = items.map(({ memoryId }) => memoryId);
    const found = await within(call, readBudgetMs, (peerCall) =>
      this.#documents.get(peerCall, ids, { tellVectors: true }),
    );
    return new Map(found.map((memory) => [memory.id, memory]));
  }
}

function asWritten(memory: StoredMemory, dedupScope: string): NewMemory {
  const { hasVector: _, contentHash: __, updateTime: ___, ...rest } = memory;
  return { ...rest, dedupScope };
}
