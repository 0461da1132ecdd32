/** Runs `work` for each item, at most `inFlight` at the same time; results in the items' order. */
export async function concurrently<T, R>(
  items: readonly T[],
  inFlight: number,
  work: (item: T, position: number) => Promise<R>,
): Promise<R[]> {
  const results = new Map<number, R>();
  const queue = items.entries();
  let failed = false;
  const worker = async () => {
    // All workers draw from one iterator, and none begins anything after a failure.
    for (const [position, item] of queue) {
      if (failed) return;
      try {
        results.set(position, await work(item, position));
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, items.length) }, worker));
  return items.map((_, position) => results.get(position) as R);
}
