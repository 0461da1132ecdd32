/**
 * The promise's outcome, or a rejection with the signal's reason as soon as it aborts. What the
 * promise stands for goes on; whoever calls this sees to it.
 */
export async function untilAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return await promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** The promise's outcome, or `late` when it takes longer; 0 waits without end. */
export async function within<T>(promise: Promise<T>, ms: number): Promise<T | typeof late> {
  if (ms === 0) return await promise;
  const { promise: passed, resolve } = Promise.withResolvers<typeof late>();
  const timer = setTimeout(() => resolve(late), ms);
  try {
    return await Promise.race([promise, passed]);
  } finally {
    clearTimeout(timer);
  }
}

export const late = Symbol("late");
