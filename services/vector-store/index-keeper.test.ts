import { expect, test } from "vitest";
import { silentLogger } from "../../shared/logging.ts";
import { IndexKeeper, type IndexKeeperParts } from "./index-keeper.ts";

function keeper(given: Partial<IndexKeeperParts> = {}) {
  const builds: string[] = [];
  const kept = new IndexKeeper({
    build: async function* (collection) {
      builds.push(collection);
      yield { phase: "done", progress: 1, elapsedMs: 1, built: undefined };
    },
    enabled: true,
    besides: async () => true,
    logger: silentLogger(),
    ...given,
  });
  return { kept, builds };
}

test("builds the index of each large collection once", async () => {
  const { kept, builds } = keeper();
  for (const name of ["a", "a", "b", "a"]) kept.missing(name, 60_000);
  await kept.settled();
  kept.missing("b", 70_000);
  await kept.settled();
  expect(builds).toEqual(["a", "b"]);
});

test("builds nothing where it is not meant to, or the database would keep others waiting", async () => {
  for (const given of [{ enabled: false }, { besides: async () => false }]) {
    const { kept, builds } = keeper(given);
    kept.missing("a", 60_000);
    await kept.settled();
    expect(builds).toEqual([]);
  }
});

test("a build that fails stops no other one", async () => {
  const builds: string[] = [];
  const { kept } = keeper({
    // biome-ignore lint/correctness/useYield: it fails before
    build: async function* (collection) {
      builds.push(collection);
      throw new Error("no");
    },
  });
  kept.missing("a", 60_000);
  kept.missing("b", 60_000);
  await kept.settled();
  expect(builds).toEqual(["a", "b"]);
});

test("ends what it builds when the service stops", async () => {
  const { promise: begun, resolve } = Promise.withResolvers<void>();
  const { kept } = keeper({
    build: async function* (_, __, signal) {
      resolve();
      yield { phase: "building", progress: 0, elapsedMs: 1, built: undefined };
      // It may have stopped before it came to this.
      signal.throwIfAborted();
      await new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    },
  });
  kept.missing("a", 60_000);
  await begun;
  await kept[Symbol.asyncDispose]();
  kept.missing("b", 60_000);
  await kept.settled();
});
