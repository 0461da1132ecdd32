import { join } from "node:path";
import { Worker } from "node:worker_threads";
import pLimit from "p-limit";
import { sleep } from "../../shared/lifecycle.ts";

export interface ConverterOptions {
  /** Documents that are converted at the same time, each in a thread of its own. */
  readonly threads: number;
  readonly timeoutMs: number;
  /** Bytes that one conversion may hold. */
  readonly maxMemoryBytes: number;
  readonly maxUnpackedBytes: number;
  readonly maxCharacters: number;
}

export const converterDefaults: ConverterOptions = {
  threads: 2,
  timeoutMs: 60_000,
  maxMemoryBytes: 512 * 1024 * 1024,
  maxUnpackedBytes: 64 * 1024 * 1024,
  maxCharacters: 16 * 1024 * 1024,
};

export type ConversionInput =
  | { readonly conversion: "html"; readonly html: string }
  | { readonly conversion: "pdf" | "docx"; readonly bytes: Uint8Array };

export type ConversionRequest = ConversionInput &
  Pick<ConverterOptions, "maxCharacters" | "maxUnpackedBytes">;

/** The text, or why there is none. */
export type ConversionAnswer =
  | { readonly text: string }
  | { readonly failure: "malformed" | "too_large" | "too_slow" };

const thread = join(import.meta.dirname, "conversion-thread.ts");
const lookMs = 100;

/**
 * Makes text of documents, in threads that are ended when they take too long or too much memory,
 * so that no document can do harm to more than itself.
 */
export class DocumentConverter implements AsyncDisposable {
  readonly #options: ConverterOptions;
  readonly #inTurn: ReturnType<typeof pLimit>;
  /** Threads that wait for a document. */
  readonly #idle: Worker[] = [];

  constructor(options: ConverterOptions = converterDefaults) {
    this.#options = options;
    this.#inTurn = pLimit(options.threads);
  }

  convert(input: ConversionInput, signal: AbortSignal): Promise<ConversionAnswer> {
    return this.#inTurn(async () => {
      signal.throwIfAborted();
      const worker = this.#idle.pop() ?? this.#newThread();
      const over = new AbortController();
      const { promise, resolve } = Promise.withResolvers<ConversionAnswer>();
      // A thread that ran out of its heap says so and is gone.
      const onError = () => resolve({ failure: "too_large" });
      const onExit = () => resolve({ failure: "malformed" });
      worker.once("message", resolve).once("error", onError).once("exit", onExit);
      const { maxCharacters, maxUnpackedBytes } = this.#options;
      worker.postMessage({ ...input, maxCharacters, maxUnpackedBytes });
      const watching = this.#watch(worker, resolve, AbortSignal.any([over.signal, signal]));
      try {
        const answer = await Promise.race([promise, rejected(signal, over.signal)]);
        if ("text" in answer || answer.failure === "malformed") this.#idle.push(worker);
        else await worker.terminate();
        return answer;
      } catch (error) {
        await worker.terminate();
        throw error;
      } finally {
        worker.off("message", resolve).off("error", onError).off("exit", onExit);
        over.abort();
        await watching;
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((worker) => worker.terminate()));
  }

  #newThread(): Worker {
    const maxOldGenerationSizeMb = Math.ceil(this.#options.maxMemoryBytes / 2 ** 20);
    const worker = new Worker(thread, { resourceLimits: { maxOldGenerationSizeMb }, stdout: true });
    // What libraries say of documents is nobody's business.
    worker.stdout.resume();
    worker.unref();
    worker.on("error", () => {});
    worker.once("exit", () => {
      const at = this.#idle.indexOf(worker);
      if (at !== -1) this.#idle.splice(at, 1);
    });
    return worker;
  }

  /** Ends what takes too long, or holds too much beside its heap. */
  async #watch(
    worker: Worker,
    resolve: (answer: ConversionAnswer) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { timeoutMs, maxMemoryBytes } = this.#options;
    const since = performance.now();
    while (!signal.aborted) {
      await sleep(lookMs, signal).catch(() => {});
      if (signal.aborted) return;
      if (performance.now() - since > timeoutMs) return resolve({ failure: "too_slow" });
      const held = await worker.getHeapStatistics().catch(() => undefined);
      const bytes = (held?.used_heap_size ?? 0) + (held?.external_memory ?? 0);
      if (bytes > maxMemoryBytes) return resolve({ failure: "too_large" });
    }
  }
}

/** Rejects when the signal aborts; settles with nothing once it is over. */
function rejected(signal: AbortSignal, over: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    over.addEventListener("abort", () => signal.removeEventListener("abort", onAbort), {
      once: true,
    });
  });
}
