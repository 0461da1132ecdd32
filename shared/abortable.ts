/**
 * The promise's outcome, or a rejection with the signal's reason as soon as it aborts. What the
 * promise stands for goes on; whoever calls this sees to it.
 *
 * One promise with two ends: `Promise.race` would make several for each call, and every statement
 * and most waits come through here.
 */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  // What is there already wins against an abort that was there as well.
  if (signal.aborted) return Promise.race([promise, Promise.reject(signal.reason)]);
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(
      (value) => {
        signal.removeEventListener("abort", onAbort);
        resolve(value);
      },
      (error) => {
        signal.removeEventListener("abort", onAbort);
        reject(error);
      },
    );
  });
}

/** The promise's outcome, or `late` when it takes longer; 0 waits without end. */
export function within<T>(promise: Promise<T>, ms: number): Promise<T | typeof late> {
  if (ms === 0) return promise;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(late), ms);
    promise.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

export const late = Symbol("late");
