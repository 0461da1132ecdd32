import { setTimeout as wait } from "node:timers/promises";
import type { FakeCost } from "./fake-ollama.ts";

/** Lets the time pass that a server would take; timers are not exact, so the error is carried on. */
export class CostModel {
  readonly #cost: FakeCost;
  readonly #waiting: (() => void)[] = [];
  #busy = 0;
  /** Milliseconds that timers have overslept, to be taken off later ones. */
  #overslept = 0;

  constructor(cost: FakeCost) {
    this.#cost = cost;
  }

  async pass(texts: number, gone: () => boolean): Promise<void> {
    const { perRequestMs, perTextMs, parallel } = this.#cost;
    if (this.#busy < parallel) this.#busy++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      if (gone()) return;
      const due = perRequestMs + perTextMs * texts;
      const ms = Math.max(0, due - this.#overslept);
      const begun = performance.now();
      await wait(ms);
      this.#overslept = Math.min(
        due,
        Math.max(0, this.#overslept - due) + performance.now() - begun - ms,
      );
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#busy--;
      else next();
    }
  }
}
