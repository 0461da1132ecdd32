import { expect, test } from "vitest";
import { sweep } from "./sweeper.ts";

/** Runs the sweeper until it has looked so often; each look is one call of `collections`. */
async function looks(
  count: number,
  remove: (collection: string) => Promise<number>,
  collections: () => Promise<string[]> = async () => ["a", "b"],
) {
  const stop = new AbortController();
  const removed: [string, number][] = [];
  const failures: unknown[] = [];
  let seen = 0;
  await sweep(
    {
      collections: async () => {
        seen += 1;
        if (seen > count) stop.abort();
        return await collections();
      },
      remove: async (collection, limit) => {
        expect(limit).toBe(10);
        return await remove(collection);
      },
      removed: (collection, n) => removed.push([collection, n]),
      failed: (error) => failures.push(error),
      intervalMs: 1,
      batch: 10,
    },
    stop.signal,
  );
  return { removed, failures };
}

test("sweeps every collection until a batch is not full", async () => {
  const left: Record<string, number> = { a: 25, b: 0 };
  const { removed, failures } = await looks(1, async (collection) => {
    const count = Math.min(10, left[collection] ?? 0);
    left[collection] = (left[collection] ?? 0) - count;
    return count;
  });
  expect(removed).toEqual([
    ["a", 10],
    ["a", 10],
    ["a", 5],
  ]);
  expect(failures).toEqual([]);
});

test("a failure is told, and the next look goes on", async () => {
  let calls = 0;
  const { removed, failures } = await looks(3, async () => {
    calls += 1;
    if (calls === 1) throw new Error("the database is away");
    return calls === 2 ? 3 : 0;
  });
  expect(failures).toHaveLength(1);
  expect(removed).toEqual([["a", 3]]);
});

test("ends when it is told to, in the middle of a full sweep too", async () => {
  const stop = new AbortController();
  let batches = 0;
  const failures: unknown[] = [];
  await sweep(
    {
      collections: async () => ["a"],
      remove: async () => {
        batches += 1;
        if (batches === 4) stop.abort();
        return 10;
      },
      removed: () => {},
      failed: (error) => failures.push(error),
      intervalMs: 1,
      batch: 10,
    },
    stop.signal,
  );
  expect(batches).toBe(4);
  expect(failures).toEqual([]);
});
