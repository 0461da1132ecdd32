import { DomainError } from "../../shared/errors.ts";
import { type Call, within } from "./deadline.ts";
import { isMismatch } from "./document-writer.ts";
import type { StoredMemory } from "./memory.ts";
import { messageParts, readInParts, vectorBytes } from "./message-parts.ts";
import type { OutboxItem, OutboxStore } from "./outbox-store.ts";
import type { DocumentOutcome, Documents, VectorWrite } from "./ports.ts";
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
/** A content that changes while it is embedded is embedded anew, so often at once. */
const mostRounds = 3;

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
    let left = items;
    for (let round = 1; round <= mostRounds && left.length > 0; round++) {
      left = await this.#round(call, left);
    }
    await this.#store.putBack(left, downRetryMs, call.signal);
  }

  /** Which items have another content by now: all others are removed or put back. */
  async #round(call: Call, items: readonly EmbeddingItem[]): Promise<EmbeddingItem[]> {
    const stored = await this.#read(call, items);
    const open: { item: EmbeddingItem; memory: StoredMemory }[] = [];
    for (const item of items) {
      const memory = stored.get(item.memoryId);
      if (memory !== undefined && !memory.hasVector) open.push({ item, memory });
      else if (memory !== undefined || item.ageMs > orphanMs) {
        await this.#store.remove([item], call.signal);
      } else await this.#store.putBack([item], downRetryMs, call.signal);
    }
    if (open.length === 0) return [];
    const { model, vectors, late } = await this.#vectors.embedInBackground(
      call,
      open.map(({ memory }) => memory.content),
    );
    const embedded = open.flatMap(({ item, memory: { id, content } }, index) => {
      const vector = vectors[index];
      return vector === undefined ? [] : [{ item, write: { id, content, vector } }];
    });
    const ends = await this.#write(call, embedded, model);
    const changed: EmbeddingItem[] = [];
    for (const { item } of open) {
      const end = ends.get(item);
      if (end === "done") await this.#store.remove([item], call.signal);
      else if (end === "changed") changed.push(item);
      else {
        const delayMs = late ? downRetryMs : refusedRetryMs * 2 ** Math.min(item.attempts, 20);
        await this.#store.putBack([item], Math.min(lastRetryMs, delayMs), call.signal);
      }
    }
    return changed;
  }

  /**
   * Writes vectors, each only where the document still has the content that it was made of, so
   * that nobody's newer write is undone.
   */
  async #write(
    call: Call,
    embedded: readonly { readonly item: EmbeddingItem; readonly write: VectorWrite }[],
    model: string,
  ): Promise<ReadonlyMap<EmbeddingItem, End>> {
    const ends = new Map<EmbeddingItem, End>();
    const bytesOf = ({ write: { content, vector } }: { readonly write: VectorWrite }) =>
      Buffer.byteLength(content) + vectorBytes(vector);
    try {
      for (const part of messageParts(embedded, bytesOf)) {
        const outcomes = await within(call, writeBudgetMs, (peerCall) =>
          this.#documents.writeVectors(
            peerCall,
            part.map(({ write }) => write),
            model,
          ),
        );
        for (const [index, { item }] of part.entries()) ends.set(item, endOf(outcomes[index]));
      }
      return ends;
    } catch (error) {
      if (isMismatch(error)) this.#vectors.forgetModel(call.tenant);
      throw error;
    }
  }

  async #read(
    call: Call,
    items: readonly EmbeddingItem[],
  ): Promise<ReadonlyMap<string, StoredMemory>> {
    const ids = items.map(({ memoryId }) => memoryId);
    const found = await readInParts(ids, (some) =>
      within(call, readBudgetMs, (peerCall) =>
        this.#documents.get(peerCall, some, { tellVectors: true }),
      ),
    );
    return new Map(found.map((memory) => [memory.id, memory]));
  }
}

/** What became of a vector: written or not needed any more, of a content of yesterday, or refused. */
type End = "done" | "changed" | "refused";

function endOf(outcome: DocumentOutcome | undefined): End {
  if (outcome === undefined) return "refused";
  if (outcome.kind !== "refused") return "done";
  const kind = outcome.error instanceof DomainError ? outcome.error.kind : undefined;
  if (kind === "aborted") return "changed";
  // Deleted: there is nothing left that could have a vector.
  return kind === "not_found" ? "done" : "refused";
}
