import { DomainError, InvalidRequestError } from "../../shared/errors.ts";
import type { BatchCaller, BatchingEmbedder } from "./batching-embedder.ts";
import type { BatchShape, EmbeddingOutcome, EmbeddingTask } from "./embedder.ts";
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
}

/** Enough for two rounds of all batches that can be under way, so that none waits for a reader. */
export function bulkLimitsFor({ texts, concurrency }: BatchShape): BulkLimits {
  return { items: Math.max(512, 2 * texts * concurrency), bytes: 8 * 1024 * 1024 };
}

/** Answers that go into one message. */
const mostAnswers = 64;

/**
 * Embeds a stream of items in batches that reach across messages and streams. Every item is answered
 * exactly once, in no order. Items are read only while few enough are unanswered, so a slow
 * reader of the answers holds the sender back. A batch that fails as a whole is answered item by
 * item; only the input's own failure and the signal end the stream early, and with it all work.
 */
export async function* embedBulk(
  embedder: BatchingEmbedder,
  task: EmbeddingTask,
  input: AsyncIterable<readonly BulkItem[]>,
  signal: AbortSignal,
  limits: BulkLimits = bulkLimitsFor(embedder.batchShape),
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

class Bulk implements BatchCaller {
  readonly task: EmbeddingTask;
  readonly urgent = false;
  readonly prompt = false;
  readonly #embedder: BatchingEmbedder;
  readonly #limits: BulkLimits;
  readonly #items = new Map<number, BulkItem>();
  readonly #answers: BulkAnswer[] = [];
  readonly #unanswered = new Set<string>();
  #keys = 0;
  #heldItems = 0;
  #heldBytes = 0;
  #inputEnded = false;
  #failure: { readonly error: unknown } | undefined;
  #bell = Promise.withResolvers<void>();
  readonly #signal: AbortSignal;
  readonly #onAbort = () => this.#fail(this.#signal.reason);

  constructor(
    embedder: BatchingEmbedder,
    task: EmbeddingTask,
    limits: BulkLimits,
    signal: AbortSignal,
  ) {
    this.#embedder = embedder;
    this.task = task;
    this.#limits = limits;
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort, { once: true });
    if (signal.aborted) this.#fail(signal.reason);
  }

  /** True when nothing is left to do. Throws what ended the stream early. */
  get done(): boolean {
    if (this.#failure !== undefined) throw this.#failure.error;
    return this.#inputEnded && this.#items.size === 0;
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
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#fail(new DomainError("canceled", "INTERNAL", "the stream has ended"));
  }

  async read(input: AsyncIterable<readonly BulkItem[]>): Promise<void> {
    try {
      for await (const items of input) {
        for (const item of items) {
          if (this.#full) this.#embedder.flush();
          while (this.#full && this.#failure === undefined) await this.changed();
          if (this.#failure !== undefined) return;
          this.#accept(item);
        }
      }
      this.#inputEnded = true;
      this.#embedder.flush();
      this.#ring();
    } catch (error) {
      this.#fail(error);
    }
  }

  deliver(keys: readonly number[], outcomes: readonly EmbeddingOutcome[]): void {
    for (const [index, key] of keys.entries()) {
      const item = this.#items.get(key);
      const outcome = outcomes[index];
      if (item === undefined || outcome === undefined) continue;
      this.#items.delete(key);
      this.#unanswered.delete(item.id);
      this.#heldBytes -= item.text.length * 2;
      this.#answers.push({ id: item.id, outcome });
    }
    this.#ring();
  }

  fail(keys: readonly number[], error: unknown): void {
    if (!(error instanceof DomainError)) this.#fail(error);
    else
      this.deliver(
        keys,
        keys.map(() => ({ error })),
      );
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
    const key = this.#keys++;
    this.#items.set(key, item);
    this.#embedder.submit(this, key, item.text);
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

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#embedder.leave(this);
    this.#ring();
  }

  #ring(): void {
    this.#bell.resolve();
    this.#bell = Promise.withResolvers<void>();
  }
}
