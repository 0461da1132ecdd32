/** What one side of a comparison does, the i-th time. */
export type Work = (i: number) => Promise<unknown>;

/** Runs work so many times with so many callers; how long each took, in milliseconds, and all. */
export async function timed(
  work: Work,
  { count, callers }: { readonly count: number; readonly callers: number },
): Promise<{ readonly times: number[]; readonly perSecond: number }> {
  const times: number[] = [];
  let next = 0;
  const started = performance.now();
  const caller = async () => {
    while (next < count) {
      const i = next++;
      const begun = performance.now();
      await work(i);
      times.push(performance.now() - begun);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return { times, perSecond: (count * 1_000) / (performance.now() - started) };
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

export const median = (values: readonly number[]) => quantile(values, 0.5);

/** Rounds of both sides take turns, so that both meet the same moods of the machine. */
export async function inTurns<T>(
  rounds: number,
  sides: { readonly raw: () => Promise<T>; readonly service: () => Promise<T> },
): Promise<{ readonly raw: T; readonly service: T }[]> {
  const results = [];
  for (let round = 0; round < rounds; round++) {
    results.push({ raw: await sides.raw(), service: await sides.service() });
  }
  return results;
}
