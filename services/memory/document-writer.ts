import { DomainError } from "../../shared/errors.ts";
import { type Call, remainingMs, withinOrUnavailable } from "./deadline.ts";
import type { NewMemory } from "./memory.ts";
import { messageParts, vectorBytes } from "./message-parts.ts";
import type { DocumentOutcome, Documents, DocumentWrite } from "./ports.ts";
import type { EmbeddedTexts, Vectors } from "./vectors.ts";

/** What became of one memory. */
export type Written =
  | {
      readonly kind: "stored";
      /** The id under which the content is stored. */
      readonly id: string;
      readonly deduplicated: boolean;
      /** This write brought a vector, so the document has one now. */
      readonly withVector: boolean;
    }
  | { readonly kind: "refused"; readonly error: unknown };

/** Vectors that are being made for memories before they are written. */
export interface EmbeddedAhead {
  readonly memories: readonly NewMemory[];
  readonly embedded: Promise<EmbeddedTexts>;
}

/** With the collection's model as believed, as told anew, and then without vectors. */
const mostAttempts = 3;

/** Embeds memories and writes them to the vector store. */
export class DocumentWriter {
  readonly #documents: Documents;
  readonly #vectors: Vectors;
  readonly #budgetMs: number;

  /** `budgetMs` bounds one write, so that nothing is still on its way when the worker looks. */
  constructor(documents: Documents, vectors: Vectors, budgetMs: number) {
    this.#documents = documents;
    this.#vectors = vectors;
    this.#budgetMs = budgetMs;
  }

  /**
   * Begins to embed what is to be written soon, so that it need not wait for what is done before.
   * Only a write of this very list takes the vectors.
   */
  embedAhead(call: Call, memories: readonly NewMemory[]): EmbeddedAhead {
    const embedded = this.#vectors.embedForStoring(
      call,
      memories.map(({ content }) => content),
    );
    // Where it fails and nobody comes for it, there is nobody to tell.
    embedded.catch(() => {});
    return { memories, embedded };
  }

  /**
   * Writes the memories, with vectors where they could be had; one outcome per memory, in order.
   * Vectors come from `ahead` where that was begun for these memories. `beforeWrite` learns which memories go without a vector, before they go; it may run again with
   * another answer. Throws where the vector store could not be asked; some memories may then be
   * stored and some not, and writing them again under the same ids does no harm.
   */
  async write(
    call: Call,
    memories: readonly NewMemory[],
    {
      beforeWrite = async () => {},
      ahead,
      idsAreNew = false,
    }: {
      readonly beforeWrite?: (withoutVector: readonly NewMemory[]) => Promise<void>;
      readonly ahead?: EmbeddedAhead | undefined;
      /** Nothing has been written under the memories' ids. */
      readonly idsAreNew?: boolean;
    } = {},
  ): Promise<Written[]> {
    if (memories.length === 0) return [];
    const texts = memories.map(({ content }) => content);
    const early = ahead !== undefined && ahead.memories === memories ? ahead : undefined;
    for (let attempt = 1; ; attempt++) {
      const embedded =
        attempt < mostAttempts
          ? await ((attempt === 1 ? early?.embedded : undefined) ??
              this.#vectors.embedForStoring(call, texts))
          : { model: "", vectors: texts.map(() => undefined), late: false };
      await beforeWrite(memories.filter((_, index) => embedded.vectors[index] === undefined));
      try {
        return await this.#upsert(call, memories, embedded, idsAreNew);
      } catch (error) {
        if (!isMismatch(error) || attempt === mostAttempts) throw error;
        this.#vectors.forgetModel(call.tenant);
      }
    }
  }

  async #upsert(
    call: Call,
    memories: readonly NewMemory[],
    { model, vectors }: EmbeddedTexts,
    idsAreNew: boolean,
  ): Promise<Written[]> {
    const writes = memories.map((memory, index) => ({ memory, vector: vectors[index] }));
    const written: Written[] = [];
    for (const part of messageParts(writes, bytesOf)) {
      const budgetMs = remainingMs(call, this.#budgetMs);
      const outcomes = await withinOrUnavailable(call, "vector-store", budgetMs, (peerCall) =>
        this.#documents.upsert(peerCall, part, model, { idsAreNew }),
      );
      const mismatch = outcomes.find((one) => one.kind === "refused" && isMismatch(one.error));
      if (mismatch?.kind === "refused") throw mismatch.error;
      written.push(...outcomes.map((one, index) => toWritten(one, part[index])));
    }
    return written;
  }
}

function toWritten(outcome: DocumentOutcome, write: DocumentWrite | undefined): Written {
  if (outcome.kind === "refused") return outcome;
  return {
    kind: "stored",
    id: outcome.id,
    deduplicated: outcome.kind === "deduplicated",
    withVector: write?.vector !== undefined,
  };
}

/** The collection belongs to another model than the one that made the vectors. */
export function isMismatch(error: unknown): boolean {
  return (
    error instanceof DomainError &&
    (error.reason === "MODEL_MISMATCH" || error.reason === "DIMENSION_MISMATCH")
  );
}

function bytesOf({ memory, vector }: DocumentWrite): number {
  return (
    Buffer.byteLength(memory.content) +
    Buffer.byteLength(JSON.stringify(memory.metadata)) +
    (vector === undefined ? 0 : vectorBytes(vector))
  );
}
