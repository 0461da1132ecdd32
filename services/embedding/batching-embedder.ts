import { Courtesy } from "./courtesy.ts";
import type {
  BatchShape,
  Embedder,
  EmbeddingModel,
  EmbeddingOutcome,
  EmbeddingTask,
} from "./embedder.ts";
import { isEmbedded } from "./embedder.ts";
import { type RunningBatch, RunningBatches } from "./running-batches.ts";
import {
  byCaller,
  type TextBatch,
  type TurnCaller,
  TurnQueue,
  type Waiting,
} from "./turn-queue.ts";
import type { CacheScope } from "./vector-cache.ts";

/** Somebody who has texts embedded, and is told in pieces. */
export interface BatchCaller extends TurnCaller {
  readonly task: EmbeddingTask;
  /** True for a question that somebody waits for: it goes before all that is not. */
  readonly urgent: boolean;
  /** Called for texts of one batch; keys and outcomes go together. Must not throw. */
  deliver(keys: readonly number[], outcomes: readonly EmbeddingOutcome[]): void;
  /** Called instead when the whole batch has failed. */
  fail(keys: readonly number[], error: unknown): void;
}

export interface BatchingOptions {
  /** How long a text of a stream may wait for company. Default 5 ms. */
  readonly gatherMs?: number;
  /** How long after a query the others make room for the next one. Default 500 ms. */
  readonly courtesyMs?: number;
  readonly cache?: CacheScope;
}

/** Batches of queries in a row before one of the others runs, if none is under way. */
const mostUrgentInRow = 8;

/**
 * Gathers the texts of all callers into batches for one embedder, with a bound on how many run at
 * once. Queries go first; the others take turns, text by text. While queries come, the others make
 * room (`courtesy.ts`), so that a query finds a server that is not busy for long; yet they always
 * have a batch under way now and then. The first query after a pause finds no room, so large batches
 * are ended and go back into the queue; those that start in the courtesy are not, so that each text
 * gets through. Equal texts of a batch are embedded once, and what is cached is not embedded at all.
 */
export class BatchingEmbedder implements Embedder {
  readonly #inner: Embedder;
  readonly #cache: CacheScope | undefined;
  readonly #gatherMs: number;
  readonly #courtesy: Courtesy;
  readonly #queries = new TurnQueue<BatchCaller>();
  readonly #others = {
    document: new TurnQueue<BatchCaller>(),
    query: new TurnQueue<BatchCaller>(),
  };
  readonly #running = new RunningBatches<BatchCaller>();
  #urgentInRow = 0;
  #lastTask: EmbeddingTask = "query";
  #gathering: NodeJS.Timeout | undefined;
  #gathered = false;
  /** False after a failure: whoever tries next whether the provider is back is not interrupted. */
  #works = true;

  constructor(inner: Embedder, options: BatchingOptions = {}) {
    const { gatherMs = 5, courtesyMs = 500, cache } = options;
    this.#inner = inner;
    this.#cache = cache;
    this.#gatherMs = gatherMs;
    this.#courtesy = new Courtesy(courtesyMs);
  }

  get model(): EmbeddingModel {
    return this.#inner.model;
  }

  get batchShape(): BatchShape {
    return this.#inner.batchShape;
  }

  /** Texts that wait for a batch. */
  get waiting(): number {
    return this.#queries.size + this.#others.document.size + this.#others.query.size;
  }

  async embed(
    texts: readonly string[],
    task: EmbeddingTask,
    signal?: AbortSignal,
  ): Promise<EmbeddingOutcome[]> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<EmbeddingOutcome[]>();
    const outcomes: EmbeddingOutcome[] = new Array(texts.length);
    let left = texts.length;
    if (left === 0) return [];
    const caller: BatchCaller = {
      task,
      urgent: task === "query",
      prompt: true,
      deliver: (keys, some) => {
        for (const [i, key] of keys.entries()) {
          const outcome = some[i];
          if (outcome !== undefined) outcomes[key] = outcome;
        }
        left -= keys.length;
        if (left === 0) resolve(outcomes);
      },
      fail: (_, error) => {
        reject(error);
        this.leave(caller);
      },
    };
    const onAbort = () => {
      reject(signal?.reason);
      this.leave(caller);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    const begun = performance.now();
    try {
      for (const [key, text] of texts.entries()) this.submit(caller, key, text);
      if (left === 0) return await promise;
      this.#start();
      const besideOthers = this.#running.others > 0;
      const all = await promise;
      if (caller.urgent && texts.length === 1) {
        this.#courtesy.queryTook(performance.now() - begun, besideOthers);
      }
      return all;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /**
   * Puts a text into the queue, or delivers it at once where it is cached. Batches start with the
   * next `start`, when enough has gathered, or after the time for gathering.
   */
  submit(caller: BatchCaller, key: number, text: string): void {
    const known = this.#cache?.get(caller.task, text);
    if (known !== undefined) {
      caller.deliver([key], [known]);
      return;
    }
    const queue = this.#queueOf(caller);
    queue.add({ caller, key, text });
    if (caller.prompt) return;
    if (this.#isFull(queue)) this.#start();
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#gathered = true;
      this.#start();
    }, this.#gatherMs);
  }

  /** Lets what has been gathered go, for a caller that has no more. */
  flush(): void {
    this.#gathered = true;
    this.#start();
  }

  /** Forgets a caller: what waits is dropped, and a batch for nobody is ended. */
  leave(caller: BatchCaller): void {
    this.#queueOf(caller).leave(caller);
    this.#running.leave(caller);
  }

  #queueOf({ urgent, task }: BatchCaller): TurnQueue<BatchCaller> {
    return urgent ? this.#queries : this.#others[task];
  }

  #isFull(queue: TurnQueue<BatchCaller>): boolean {
    const { texts, characters } = this.batchShape;
    return queue.size >= texts || queue.characters >= characters;
  }

  #start(): void {
    while (this.#startQuery() || this.#startOther()) {
      // Each turn of the loop has started a batch.
    }
    if (this.#others.document.size + this.#others.query.size === 0) this.#gathered = false;
  }

  #startQuery(): boolean {
    if (this.#queries.size === 0) return false;
    const { texts, characters, concurrency, extraQueries = 0 } = this.batchShape;
    const now = performance.now();
    if (this.#courtesy.queryComes(now) && extraQueries === 0 && this.#works) {
      const room = this.#courtesy.roomFor(concurrency, texts, now);
      this.#running.interrupt(room.places * room.texts);
    }
    if (this.#running.size >= concurrency + extraQueries) return false;
    const othersWait = this.#others.document.size + this.#others.query.size > 0;
    if (othersWait && this.#running.others === 0 && this.#urgentInRow >= mostUrgentInRow) {
      return false;
    }
    this.#urgentInRow++;
    this.#run(this.#queries.take(texts, characters), "query", true);
    return true;
  }

  #startOther(): boolean {
    const { texts, characters, concurrency } = this.batchShape;
    const room = this.#courtesy.roomFor(concurrency, texts, performance.now());
    if (this.#running.others >= room.places || this.#running.size >= concurrency) return false;
    const task = this.#nextTask();
    if (task === undefined) return false;
    this.#lastTask = task;
    this.#urgentInRow = 0;
    this.#run(this.#others[task].take(room.texts, characters), task, false);
    return true;
  }

  /** Tasks take turns, since no batch holds two. */
  #nextTask(): EmbeddingTask | undefined {
    const order =
      this.#lastTask === "document"
        ? (["query", "document"] as const)
        : (["document", "query"] as const);
    return order.find((task) => {
      const queue = this.#others[task];
      return queue.size > 0 && (this.#gathered || queue.isPrompt || this.#isFull(queue));
    });
  }

  #run(batch: TextBatch<BatchCaller>, task: EmbeddingTask, urgent: boolean): void {
    const running = this.#running.begin(batch, urgent);
    void this.#embedBatch(running, task).finally(() => {
      this.#running.end(running);
      this.#start();
    });
  }

  async #embedBatch(running: RunningBatch<BatchCaller>, task: EmbeddingTask): Promise<void> {
    const { batch, work } = running;
    const texts = [...batch.keys()];
    try {
      const outcomes = await this.#inner.embed(texts, task, work.signal);
      if (outcomes.length !== texts.length) {
        throw new Error(`${this.model.name} gave ${outcomes.length} outcomes for ${texts.length}`);
      }
      this.#works = true;
      for (const [i, text] of texts.entries()) {
        const outcome = outcomes[i];
        if (outcome !== undefined && isEmbedded(outcome)) this.#cache?.set(task, text, outcome);
      }
      const settled = new Map(texts.map((text, i) => [text, outcomes[i]]));
      for (const [caller, waiting] of byCaller(batch)) {
        const own = waiting.flatMap(({ text }) => settled.get(text) ?? []);
        caller.deliver(keysOf(waiting), own);
      }
    } catch (error) {
      if (running.interrupted) {
        this.#others[task].putBack(batch);
        this.#gathered = true;
        return;
      }
      if (!work.signal.aborted) this.#works = false;
      for (const [caller, waiting] of byCaller(batch)) caller.fail(keysOf(waiting), error);
    }
  }
}

function keysOf(waiting: readonly Waiting<BatchCaller>[]): number[] {
  return waiting.map(({ key }) => key);
}
