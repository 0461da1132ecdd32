import { sleep } from "../../lifecycle.ts";

/** Waits until a condition holds; throws after `timeoutMs`. */
export async function eventually(condition: () => boolean, timeoutMs = 5_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`still not so after ${timeoutMs} ms: ${condition}`);
    await sleep(5);
  }
}

/** Waits until a number has not grown for a while; returns it. */
export async function settled(read: () => number, quietMs = 250): Promise<number> {
  for (let last = read(); ; last = read()) {
    await sleep(quietMs);
    if (read() === last) return last;
  }
}

/** What an iterable yields before it ends or throws, and what it throws. */
export async function drain<T>(items: AsyncIterable<T>): Promise<{ items: T[]; error: unknown }> {
  const seen: T[] = [];
  try {
    for await (const item of items) seen.push(item);
    return { items: seen, error: undefined };
  } catch (error) {
    return { items: seen, error };
  }
}

/** The error that a promise is rejected with; fails where it is not. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("was not rejected");
}
