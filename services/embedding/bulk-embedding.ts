import { DomainError, InvalidRequestError } from "../../shared/errors.ts";
import type { Embedder, EmbeddingOutcome, EmbeddingTask } from "./embedder.ts";
import { textFault, textLimits } from "./text-checks.ts";

/** A text under its caller's id. */
export interface BulkItem {
  readonly id: string;
  readonly text: string;
  /** Where it stands within its message, for errors: `items[3]`. */
  readonly field: string;
}

export interface BulkAnswer {
  readonly id: string;
  readonly outcome: EmbeddingOutcome;
}

/** How much a stream may hold that its caller has not taken back yet. */
export interface BulkLimits {
  readonly items: number;
  readonly bytes: number;
  /** How long an item may wait for company. */
  readonly gatherMs: number;
}

export const defaultBulkLimits: BulkLimits = {
  items: 512,
  bytes: 8 * 1024 * 1024,
  gatherMs: 5,
};

/** Answers that go into one message. */
const mostAnswers = 64;

/**
 * Embeds a stream of items in batches that reach across its messages. Every item is answered
 * exactly once, in no order. Items are read only while few enough are unanswered, so a slow
 * reader of the answers holds the sender back. A batch that fails as a whole is answered item by
 * item; only the input's own failure and the signal end the stream early, and with it all work.
 */
export async function* embedBulk(
  embedder: Embedder,
  task: EmbeddingTask,
  input: AsyncIterable<readonly BulkItem[]>,
  signal: AbortSignal,
  limits: BulkLimits = defaultBulkLimits,
): AsyncGenerator<readonly BulkAnswer[]> {
  const bulk = new Bulk(embedder, task, limits, signal);
  // Never rejects, and may never resolve: who hosts the call ends its input.
  void bulk.read(input);
  try {
    for (;;) {
      const answers = bulk.takeAnswers();
      if (answers.length > 0) yield answers;
      else if (bulk.done) return;
      else await bulk.changed();
    }
  } finally {
    bulk.stop();
  }
}

class Bulk {
  readonly #embedder: Embedder;
  readonly #task: EmbeddingTask;
  readonly #limits: BulkLimits;
  readonly #stopped = new AbortController();
  readonly #signal: AbortSignal;
  readonly #waiting: BulkItem[] = [];
  readonly #answers: BulkAnswer[] = [];
  readonly #unanswered = new Set<string>();
  #heldItems = 0;
  #heldBytes = 0;
  #running = 0;
  #inputEnded = false;
  #failure: { readonly error: unknown } | undefined;
  #gathering: NodeJS.Timeout | undefined;
  #bell = Promise.withResolvers<void>();

  constructor(embedder: Embedder, task: EmbeddingTask, limits: BulkLimits, signal: AbortSignal) {
    this.#embedder = embedder;
    this.#task = task;
    this.#limits = limits;
    this.#signal = AbortSignal.any([signal, this.#stopped.signal]);
    this.#signal.addEventListener("abort", () => this.#fail(this.#signal.reason), { once: true });
    if (signal.aborted) this.#fail(signal.reason);
  }

  /** True when nothing is left to do. Throws what ended the stream early. */
  get done(): boolean {
    if (this.#failure !== undefined) throw this.#failure.error;
    return this.#inputEnded && this.#waiting.length === 0 && this.#running === 0;
  }

  changed(): Promise<void> {
    return this.#bell.promise;
  }

  /** Answers that the caller now holds; they make room for as many items. */
  takeAnswers(): BulkAnswer[] {
    const taken = this.#answers.splice(0, mostAnswers);
    this.#heldItems -= taken.length;
    if (taken.length > 0) this.#ring();
    return taken;
  }

  stop(): void {
    clearTimeout(this.#gathering);
    this.#stopped.abort(new DomainError("canceled", "INTERNAL", "the stream has ended"));
  }

  async read(input: AsyncIterable<readonly BulkItem[]>): Promise<void> {
    try {
      for await (const items of input) {
        for (const item of items) {
          while (this.#full && this.#failure === undefined) await this.changed();
          if (this.#failure !== undefined) return;
          this.#accept(item);
        }
      }
      this.#inputEnded = true;
      this.#startBatches(true);
      this.#ring();
    } catch (error) {
      this.#fail(error);
    }
  }

  get #full(): boolean {
    return this.#heldItems >= this.#limits.items || this.#heldBytes >= this.#limits.bytes;
  }

  #accept(item: BulkItem): void {
    this.#heldItems++;
    const error = this.#faultOf(item);
    if (error !== undefined) {
      this.#answers.push({ id: item.id, outcome: { error } });
      this.#ring();
      return;
    }
    this.#unanswered.add(item.id);
    this.#heldBytes += item.text.length * 2;
    this.#waiting.push(item);
    this.#startBatches(this.#full);
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#startBatches(true);
    }, this.#limits.gatherMs);
  }

  #faultOf({ id, text, field }: BulkItem): DomainError | undefined {
    const idBytes = Buffer.byteLength(id);
    if (idBytes === 0 || idBytes > textLimits.idBytes) {
      const description = `must have 1 to ${textLimits.idBytes} bytes`;
      return new InvalidRequestError([{ field: `${field}.id`, description }]);
    }
    if (this.#unanswered.has(id)) {
      const description = "is the id of an item that is not answered yet";
      return new InvalidRequestError([{ field: `${field}.id`, description }]);
    }
    return textFault(text, `${field}.text`);
  }

  /** Starts full batches while the model can take more; with `rest` also one that is not full. */
  #startBatches(rest: boolean): void {
    const { texts, concurrency } = this.#embedder.batchShape;
    while (this.#running < concurrency && this.#failure === undefined) {
      if (this.#waiting.length < (rest ? 1 : texts)) return;
      this.#running++;
      void this.#runBatch(this.#waiting.splice(0, texts));
    }
  }

  async #runBatch(items: readonly BulkItem[]): Promise<void> {
    const texts = items.map(({ text }) => text);
    let outcomes: readonly EmbeddingOutcome[];
    try {
      outcomes = await this.#embedder.embed(texts, this.#task, this.#signal);
    } catch (error) {
      if (!(error instanceof DomainError)) this.#fail(error);
      outcomes = error instanceof DomainError ? items.map(() => ({ error })) : [];
    }
    for (const [index, outcome] of outcomes.entries()) {
      const item = items[index];
      if (item === undefined) continue;
      this.#unanswered.delete(item.id);
      this.#heldBytes -= item.text.length * 2;
      this.#answers.push({ id: item.id, outcome });
    }
    this.#running--;
    // Those who came while all was busy have waited long enough.
    this.#startBatches(this.#inputEnded || this.#full || this.#gathering === undefined);
    this.#ring();
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#ring();
  }

  #ring(): void {
    this.#bell.resolve();
    this.#bell = Promise.withResolvers<void>();
  }
}
