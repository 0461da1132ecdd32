import { setImmediate } from "node:timers/promises";

/** Work in JavaScript pauses after this long, so that other calls get their turn. */
const turnMs = 8;

/** Called between small pieces of work: lets the event loop run when the turn is used up. */
export type Breathe = () => Promise<void>;

export function createBreathe(signal?: AbortSignal): Breathe {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < turnMs) return;
    await setImmediate(undefined, signal === undefined ? {} : { signal });
    since = performance.now();
  };
}
