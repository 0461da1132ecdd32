import { DependencyUnavailableError, DomainError } from "../../shared/errors.ts";
import { newId } from "../../shared/ids.ts";
import { sleep } from "../../shared/lifecycle.ts";
import { type Call, type PeerCall, remainingMs, withinOrUnavailable } from "./deadline.ts";
import type { Deliveries } from "./deliveries.ts";
import { type DocumentWriter, isMismatch } from "./document-writer.ts";
import {
  EtagMismatchError,
  isTransient,
  MemoryNotFoundError,
  UpdateConflictError,
} from "./errors.ts";
import { type FeatureSwitches, requireOn } from "./feature-switches.ts";
import { type InsightOfText, insightsOf, type ToldInsight } from "./insight-memory.ts";
import { knownIds } from "./known-memories.ts";
import type { EmbeddingState, StoredMemory } from "./memory.ts";
import { changed, etagOf, isState, type MemoryChange } from "./memory-change.ts";
import type { PendingEmbedding } from "./operation-store.ts";
import type { Operations } from "./operations.ts";
import type { Documents } from "./ports.ts";
import type { MemoryUpdate, MemoryVersion, UpdateStore } from "./update-store.ts";
import type { Vectors } from "./vectors.ts";

export interface UpdatedAnswer {
  readonly memory: StoredMemory;
  readonly embedding: EmbeddingState;
  readonly insights: readonly ToldInsight[];
}

/** Others who change the same memory make us look again; so often in a row nobody changes it. */
const mostRounds = 8;
const budgetMs = 10_000;
const shortBudgetMs = 5_000;
/** So long a store that was answered may take to record its end: looked at after each of these. */
const endingMs = [10, 20, 20, 75];

type Applied =
  | { readonly kind: "applied"; readonly memory: StoredMemory }
  /** Somebody wrote the memory anew since the update was planned. */
  | { readonly kind: "overtaken" }
  | { readonly kind: "gone" };

/**
 * Changes memories: (1) the change is recorded durably, with the memory as it was; (2) the document
 * is changed, if nobody has written it since, and insights of a new content are written; (3) it is
 * recorded as done, together with the version before. Each step may be repeated, by whoever comes
 * next: the worker, or another change of the same memory, of which there is one at a time.
 */
export class MemoryUpdates {
  readonly #store: UpdateStore;
  readonly #documents: Documents;
  readonly #vectors: Vectors;
  readonly #writer: DocumentWriter;
  readonly #operations: Pick<Operations, "complete">;
  readonly #deliveries: Deliveries;
  readonly #switches: FeatureSwitches;
  readonly #graceMs: number;
  readonly #storeIsUp: () => Promise<boolean>;

  constructor(parts: {
    readonly store: UpdateStore;
    readonly documents: Documents;
    readonly vectors: Vectors;
    readonly writer: DocumentWriter;
    readonly operations: Pick<Operations, "complete">;
    readonly deliveries: Deliveries;
    readonly switches: FeatureSwitches;
    /** How long the worker leaves a change to the call that began it. */
    readonly graceMs: number;
    readonly vectorStoreIsUp: () => Promise<boolean>;
  }) {
    this.#store = parts.store;
    this.#documents = parts.documents;
    this.#vectors = parts.vectors;
    this.#writer = parts.writer;
    this.#operations = parts.operations;
    this.#deliveries = parts.deliveries;
    this.#switches = parts.switches;
    this.#graceMs = parts.graceMs;
    this.#storeIsUp = parts.vectorStoreIsUp;
  }

  /**
   * Changes a memory. What was begun and could not be ended, since the vector store did not answer,
   * is completed later; what is refused is taken back.
   */
  async update(call: Call, id: string, change: MemoryChange, etag: string): Promise<UpdatedAnswer> {
    // Before anything is recorded: a call that cannot succeed leaves nothing to be completed.
    if (!(await this.#storeIsUp())) {
      throw new DependencyUnavailableError("vector-store", "vector-store does not answer");
    }
    for (let round = 1; round <= mostRounds; round++) {
      const { tenant, signal } = call;
      await this.#completeStore(call, id);
      // Before the memory itself: a change that ends between the two is noticed when ours begins.
      const links = await this.#store.links(tenant, id, signal);
      const memory = await this.#read(call, id);
      if (memory === undefined) throw new MemoryNotFoundError(id);
      if (memory.memoryType === "agent") requireOn(this.#switches, "agentMemory");
      const after = changed(memory, change, links);
      const insights =
        change.content === undefined ? [] : insightsOf(asNew({ ...memory, ...after }));
      const current = etagOf(memory);
      // First of all: that another one made the same change does not make it ours.
      if (etag !== "" && etag !== current) throw new EtagMismatchError(id, current);
      if (isState(memory, after)) return await this.#answer(call, memory, insights);
      const update: MemoryUpdate = {
        id: newId(),
        memoryId: id,
        before: memory,
        after,
        documents: insights.map((insight) => insight.memory),
        insights: this.#switches.crossSystemSharing ? insights.map(({ delivery }) => delivery) : [],
      };
      const begun = await this.#store.beginUpdate(
        tenant,
        update,
        { version: links.version, graceMs: this.#graceMs },
        signal,
      );
      if (begun.kind === "underWay") await this.#giveWay(call, begun.update);
      if (begun.kind !== "begun") continue;
      const applied = await this.#apply(call, update);
      if (applied.kind === "overtaken") continue;
      if (applied.kind === "gone") throw new MemoryNotFoundError(id);
      return await this.#answer(call, applied.memory, insights);
    }
    throw new UpdateConflictError(id);
  }

  /** A store that was cut off, or still goes on, is ended first: later it would undo the change. */
  async #completeStore(call: Call, id: string): Promise<void> {
    const look = () => this.#store.operationOf(call.tenant, id, call.signal);
    let open = await look();
    // One whose call was just answered ends by itself in a moment, and is best left to that.
    for (const pauseMs of endingMs) {
      if (open === undefined) return;
      await sleep(pauseMs, call.signal);
      open = await look();
    }
    if (open === undefined) return;
    try {
      await this.#operations.complete(call, open);
    } catch (error) {
      if (isTransient(error)) throw error;
    }
  }

  /** Another one's change goes first; it may have died half-way, so that we complete it. */
  async #giveWay(call: Call, underWay: MemoryUpdate): Promise<void> {
    try {
      await this.#apply(call, underWay);
    } catch (error) {
      // What is refused for good is told to its own caller, and out of our way.
      if (isTransient(error)) throw error;
    }
  }

  /** The worker's part: a change that may have been cut off. */
  async complete(call: Call, update: MemoryUpdate): Promise<void> {
    await this.#apply(call, update);
  }

  async versions(
    call: Call,
    query: Parameters<UpdateStore["listVersions"]>[1],
  ): Promise<{ readonly versions: readonly MemoryVersion[]; readonly more: boolean }> {
    // What is gone, or has expired, has no past either.
    const memory = await this.#read(call, query.memoryId);
    if (memory === undefined) throw new MemoryNotFoundError(query.memoryId);
    return await this.#store.listVersions(call.tenant, query, call.signal);
  }

  async #answer(
    call: Call,
    memory: StoredMemory,
    insights: readonly InsightOfText[],
  ): Promise<UpdatedAnswer> {
    return {
      memory,
      embedding: memory.hasVector ? "ready" : "pending",
      insights: await this.#deliveries.deliverNow(call, insights),
    };
  }

  /** Steps (2) and (3). Throws what refused the change, after taking it back. */
  async #apply(call: Call, update: MemoryUpdate): Promise<Applied> {
    const { tenant, signal } = call;
    let applied: Applied;
    try {
      applied = await this.#change(call, update);
    } catch (error) {
      if (!isTransient(error)) {
        await this.#store.abandonUpdate(tenant, update, AbortSignal.timeout(shortBudgetMs));
      }
      throw error;
    }
    if (applied.kind !== "applied") {
      const end = await this.#store.abandonUpdate(tenant, update, signal);
      if (end !== "finished") return applied;
      // Somebody completed ours, and the memory has moved on since.
      const memory = await this.#read(call, update.memoryId);
      return memory === undefined ? { kind: "gone" } : { kind: "applied", memory };
    }
    const withoutVector = await this.#writeInsights(call, update);
    const { id, hasVector } = applied.memory;
    const own = hasVector ? [] : [{ memoryId: id, dedupScope: "" }];
    await this.#store.finishUpdate(tenant, update, [...own, ...withoutVector], signal);
    return applied;
  }

  async #change(call: Call, { memoryId, before, after }: MemoryUpdate): Promise<Applied> {
    const anew = after.content !== before.content;
    for (let round = 1; round <= mostRounds; round++) {
      const memory = await this.#read(call, memoryId);
      if (memory === undefined) return { kind: "gone" };
      if (isState(memory, after)) return { kind: "applied", memory };
      if (etagOf(memory) !== etagOf(before)) return { kind: "overtaken" };
      // With the collection's model as believed, as told anew, and then without a vector.
      const embedded =
        anew && round <= 2
          ? await this.#vectors.embedForStoring(call, [after.content])
          : { model: "", vectors: [], late: false };
      try {
        const written = await this.#ask(call, (peerCall) =>
          this.#documents.change(
            peerCall,
            {
              id: memoryId,
              ...(anew ? { content: after.content, vector: embedded.vectors[0] } : {}),
              metadata: after.metadata,
              expireTime: after.expireTime,
              ifUpdateTime: memory.updateTime,
            },
            embedded.model,
          ),
        );
        return { kind: "applied", memory: written };
      } catch (error) {
        if (isMismatch(error)) this.#vectors.forgetModel(call.tenant);
        // A vector that came late, or somebody else: the next look tells.
        else if (!isConflict(error)) throw error;
      }
    }
    throw new UpdateConflictError(memoryId);
  }

  /** Writes the insights of a new content that are not known; which of them have no vector. */
  async #writeInsights(call: Call, { documents }: MemoryUpdate): Promise<PendingEmbedding[]> {
    if (documents.length === 0) return [];
    const known = await knownIds(call, this.#documents, documents);
    const fresh = documents.filter(({ id }) => !known.has(id));
    const written = await this.#writer.write(call, fresh);
    return written.flatMap((one, index) =>
      one.kind === "refused" || one.withVector
        ? []
        : [{ memoryId: one.id, dedupScope: fresh[index]?.dedupScope ?? "" }],
    );
  }

  async #read(call: Call, id: string): Promise<StoredMemory | undefined> {
    const [memory] = await this.#ask(call, (peerCall) =>
      this.#documents.get(peerCall, [id], { tellVectors: true }),
    );
    return memory;
  }

  #ask<T>(call: Call, ask: (peerCall: PeerCall) => Promise<T>): Promise<T> {
    return withinOrUnavailable(call, "vector-store", remainingMs(call, budgetMs), ask);
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof DomainError && error.kind === "aborted";
}

function asNew({ updateTime: _, contentHash: __, hasVector: ___, ...memory }: StoredMemory) {
  return { ...memory, dedupScope: "" };
}
