import { DomainError } from "../../shared/errors.ts";
import type { Logger } from "../../shared/logging.ts";
import { type Call, remainingMs, within } from "./deadline.ts";
import { passagesOf } from "./passages.ts";
import { LeftAloneError, PeerGuard } from "./peer-guard.ts";
import type { ContentVector, Documents, Embedder, QueryVector, VectorValues } from "./ports.ts";

/** Contents with their vectors; one that got none is stored as pending. */
export interface EmbeddedTexts {
  /** The model that made the vectors; empty where there is none. */
  readonly model: string;
  /** One for each content. */
  readonly vectors: readonly (ContentVector | undefined)[];
  /** Embedding was down or late: what lacks a vector may have one later. */
  readonly late: boolean;
}

interface Answers {
  readonly model: string;
  /** Fewer than texts where embedding failed or was late; undefined for a text that it refused. */
  readonly vectors: readonly (VectorValues | undefined)[];
}

/** A query's vector, or why it has none. */
export type EmbeddedQuery =
  | { readonly vector: QueryVector }
  | { readonly vector: undefined; readonly why: string };

const notEmbedded = "the query could not be embedded";
/** How long a collection's model is believed: it is set once, and changes only with the collection. */
const knownModelMs = 10_000;
const unsetModelMs = 1_000;
const mostTenants = 1_000;
/** Storing waits for embedding no longer than this, and no more than this share of its time. */
const storeBudgetMs = 5_000;
const storeShare = 0.4;
const backgroundBudgetMs = 60_000;
const modelBudgetMs = 1_000;
/** What one call may carry. */
const mostTexts = 1_000;
const mostCharacters = 4 * 1024 * 1024;

/**
 * Embeds with the model to which the collection `memories` belongs. Embedding down or late is
 * never an error here: what has no vector is stored and found by its words.
 */
export class Vectors {
  readonly #embedder: Embedder;
  readonly #documents: Documents;
  readonly #logger: Logger;
  readonly #guard: PeerGuard;
  #failing = false;
  readonly #models = new Map<string, { readonly model: string; readonly until: number }>();

  /**
   * `guard` decides whether queries are embedded: they do without a vector. What is stored waits its
   * share of the time, since a vector that comes later costs more.
   */
  constructor(
    embedder: Embedder,
    documents: Documents,
    logger: Logger,
    guard = new PeerGuard("embedding", logger),
  ) {
    this.#embedder = embedder;
    this.#documents = documents;
    this.#logger = logger;
    this.#guard = guard;
  }

  /** Drops what is believed of a tenant's collection, after it refused a model. */
  forgetModel(tenant: string): void {
    this.#models.delete(tenant);
  }

  /** Embedding that fails repeatedly is left alone for some seconds, so that no query waits. */
  async embedQuery(call: Call, text: string, budgetMs: number): Promise<EmbeddedQuery> {
    const until = performance.now() + budgetMs;
    const model = await this.#model(call, Math.min(modelBudgetMs, budgetMs / 2));
    const request = { model, purpose: "query", texts: [text] } as const;
    try {
      const leftMs = Math.max(1, until - performance.now());
      const answer = await within(call, leftMs, (peerCall) =>
        this.#guard.ask(peerCall, (guarded) => this.#embedder.embed(guarded, request)),
      );
      this.#answers();
      const [values] = answer.vectors;
      if (values !== undefined) return { vector: { model: answer.model, values } };
    } catch (error) {
      call.signal.throwIfAborted();
      if (error instanceof LeftAloneError) return { vector: undefined, why: error.message };
      this.#fails(error);
    }
    return { vector: undefined, why: notEmbedded };
  }

  /** Vectors for contents that are stored on a caller's behalf. */
  embedForStoring(call: Call, contents: readonly string[]): Promise<EmbeddedTexts> {
    const share =
      call.deadline === undefined ? storeBudgetMs : remainingMs(call, Infinity) * storeShare;
    return this.#embedContents(call, contents, Math.min(storeBudgetMs, share));
  }

  /** As `embedForStoring`, where nobody waits: a model on a slow machine gets the time it needs. */
  embedInBackground(call: Call, contents: readonly string[]): Promise<EmbeddedTexts> {
    return this.#embedContents(call, contents, remainingMs(call, backgroundBudgetMs));
  }

  /** Each content with its passages behind it: all of them have a vector, or it has none. */
  async #embedContents(
    call: Call,
    contents: readonly string[],
    budgetMs: number,
  ): Promise<EmbeddedTexts> {
    const split = contents
      .map((content, index) => ({ index, content, passages: passagesOf(content) }))
      // Short ones first: one that takes all of the time keeps no other from its vector.
      .toSorted((a, b) => a.passages.length - b.passages.length);
    const texts = split.flatMap(({ content, passages }) => [
      content,
      ...passages.map(({ text }) => text),
    ]);
    const { model, vectors } = await this.#embed(call, texts, budgetMs);
    const ofContents: (ContentVector | undefined)[] = contents.map(() => undefined);
    let at = 0;
    for (const { index, passages } of split) {
      const values = vectors[at];
      const first = at + 1;
      at = first + passages.length;
      if (values === undefined || at > vectors.length) continue;
      const embedded = passages.flatMap(({ start, end }, n) => {
        // What the model refuses of a content that it takes as a whole is not worth the whole.
        const own = vectors[first + n];
        return own === undefined ? [] : [{ values: own, start, end }];
      });
      ofContents[index] = { values, passages: embedded };
    }
    return {
      model: ofContents.some((vector) => vector !== undefined) ? model : "",
      vectors: ofContents,
      late: vectors.length < texts.length,
    };
  }

  async #embed(call: Call, texts: readonly string[], budgetMs: number): Promise<Answers> {
    const until = performance.now() + budgetMs;
    const vectors: (VectorValues | undefined)[] = [];
    let model = await this.#model(call, Math.min(modelBudgetMs, budgetMs / 2));
    for (const part of parts(texts)) {
      const answer = await this.#tryEmbed(call, { model, purpose: "document", texts: part }, until);
      // One call failed: the rest would only wait as long again.
      if (answer === undefined) break;
      model = answer.model;
      vectors.push(...answer.vectors);
    }
    return { model, vectors };
  }

  async #tryEmbed(
    call: Call,
    request: Parameters<Embedder["embed"]>[1],
    until: number,
  ): Promise<Awaited<ReturnType<Embedder["embed"]>> | undefined> {
    const budgetMs = until - performance.now();
    if (budgetMs <= 0) return undefined;
    try {
      const answer = await within(call, budgetMs, (peerCall) =>
        this.#embedder.embed(peerCall, request),
      );
      this.#answers();
      return answer;
    } catch (error) {
      call.signal.throwIfAborted();
      this.#fails(error);
      return undefined;
    }
  }

  #answers(): void {
    if (this.#failing) this.#logger.info("embedding answers again");
    this.#failing = false;
  }

  #fails(error: unknown): void {
    // Once, and not for each of the thousands of texts that come meanwhile.
    if (!this.#failing) this.#logger.warn({ err: error }, "embedding fails; going on without");
    this.#failing = true;
  }

  /** The collection's model; empty (the service's default) where it has none or does not tell. */
  async #model(call: Call, budgetMs: number): Promise<string> {
    const known = this.#models.get(call.tenant);
    if (known !== undefined) {
      if (known.until > performance.now()) return known.model;
      // One asks; the others go on believing meanwhile.
      this.#models.set(call.tenant, { ...known, until: performance.now() + unsetModelMs });
    }
    try {
      const model = await within(call, budgetMs, (peerCall) =>
        this.#documents.embeddingModel(peerCall),
      );
      if (this.#models.size >= mostTenants) this.#models.clear();
      const ms = model === "" ? unsetModelMs : knownModelMs;
      this.#models.set(call.tenant, { model, until: performance.now() + ms });
      return model;
    } catch (error) {
      call.signal.throwIfAborted();
      if (!(error instanceof DomainError)) throw error;
      return known?.model ?? "";
    }
  }
}

/** The texts in order, in parts that one call can carry. */
function* parts(texts: readonly string[]): Generator<readonly string[]> {
  let part: string[] = [];
  let size = 0;
  for (const text of texts) {
    if (part.length > 0 && (part.length >= mostTexts || size + text.length > mostCharacters)) {
      yield part;
      part = [];
      size = 0;
    }
    part.push(text);
    size += text.length;
  }
  if (part.length > 0) yield part;
}
