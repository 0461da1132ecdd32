import { setTimeout as wait } from "node:timers/promises";
import { untilAborted } from "../../shared/abortable.ts";
import type { FakeCost } from "./fake-ollama.ts";

/**
 * Lets the time pass that a server would take; timers are not exact, so the error is carried on. As
 * Ollama does, it drops what a client waits for who has gone: a request that waits at once, one
 * that is worked on after the text under way, because each text is a sequence of its own there.
 */
export class CostModel {
  readonly #cost: FakeCost;
  readonly #waiting = new Set<() => void>();
  #busy = 0;
  /** Milliseconds that timers have overslept, to be taken off later ones. */
  #overslept = 0;

  constructor(cost: FakeCost) {
    this.#cost = cost;
  }

  /** Resolves as well when the client has gone: nobody wants the answer then. */
  async pass(texts: number, gone: AbortSignal): Promise<void> {
    if (!(await this.#begin(gone))) return;
    const { perRequestMs, perTextMs } = this.#cost;
    const due = perRequestMs + perTextMs * texts;
    const ms = Math.max(0, due - this.#overslept);
    const begun = performance.now();
    try {
      await wait(ms, undefined, { signal: gone });
      this.#overslept = Math.min(
        due,
        Math.max(0, this.#overslept - due) + performance.now() - begun - ms,
      );
    } catch {
      const inTexts = performance.now() - begun - perRequestMs;
      await wait(inTexts < 0 ? -inTexts : perTextMs - (inTexts % perTextMs));
    } finally {
      this.#end();
    }
  }

  /** False when the client has gone before its turn. */
  async #begin(gone: AbortSignal): Promise<boolean> {
    if (gone.aborted) return false;
    if (this.#busy < this.#cost.parallel) {
      this.#busy++;
      return true;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    try {
      await untilAborted(promise, gone);
      return true;
    } catch {
      // Whoever has got its turn in the same moment passes it on.
      if (!this.#waiting.delete(resolve)) this.#end();
      return false;
    }
  }

  #end(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#busy--;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
