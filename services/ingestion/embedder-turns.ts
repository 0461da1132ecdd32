import pLimit from "p-limit";
import type { Embedder } from "./ports.ts";

/** An embedder that is asked for so many batches at the same time. */
export function inTurn(embedder: Embedder, calls: number): Embedder {
  const turn = pLimit(calls);
  return {
    defaultModel: (work) => embedder.defaultModel(work),
    embed: (work, model, task, texts) =>
      turn(() => {
        work.signal.throwIfAborted();
        return embedder.embed(work, model, task, texts);
      }),
  };
}
