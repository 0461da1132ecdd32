import { beforeAll, expect, test } from "vitest";
import type { Filter } from "../../services/vector-store/filter.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import type { SearchBy } from "../../services/vector-store/search.ts";
import { newId } from "../../shared/ids.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, newDocument, searchOf, vectorOf, writeOf } from "./document-store-samples.ts";
import { expectSameHits } from "./same-hits.ts";

const rows = 400;
const rounds = 60;

/** Whole numbers below a bound, the same in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const ofRepo = (value: string): Filter => ({
  node: "condition",
  condition: { on: "text", field: "repo_id", test: { kind: "one_of", values: [value] } },
});

describeEachStore("scopes that are remembered, while others write", (_, database) => {
  let postgres: Postgres;
  /** Another process. */
  let other: PostgresDocumentStore;
  /** Searches that one statement answered from memory. */
  let unchanged = 0;

  beforeAll(() => {
    postgres = database().open();
    other = new PostgresDocumentStore(database().open());
  });

  test("tell what comparing everything tells, whatever is written", async () => {
    const query = postgres.query.bind(postgres);
    postgres.query = async (statement, params, signal) => {
      const outcome = await query<never>(statement, params, signal);
      const [told] = outcome.rows as { others_there?: boolean; changed?: number }[];
      if (told?.others_there !== undefined && told.changed === 0) unchanged += 1;
      return outcome;
    };
    const knownScopes = { bytes: 64 * 2 ** 20, fewest: 100, searches: 1, pausePerReading: 0 };
    await using store = new PostgresDocumentStore(postgres, { knownScopes });
    const tenant = newId();
    const random = numbers(7);
    // Few vectors and texts for many documents: scores are equal, and ids decide.
    const document = (i: number) =>
      newDocument(`word${random(9)} word${random(40)} word${random(300)} number${i}`, {
        id: `d${i}`,
        vector: random(10) === 0 ? undefined : vectorOf(random(150)),
        repoId: `repo${i % 3}`,
      });
    await other.write(tenant, writeOf(...Array.from({ length: rows }, (_, i) => document(i))));

    const write: (() => Promise<unknown>)[] = [
      () => other.write(tenant, writeOf(document(rows + random(1_000)))),
      () => other.write(tenant, writeOf(document(random(rows)), document(random(rows)))),
      () => other.delete(tenant, collection, { by: "ids", ids: [`d${random(rows)}`] }),
      () => expire(random(rows), "-1 s"),
      // What had expired and was not swept yet lives again: its vector and words do not change.
      () => expire(random(rows), "1 h"),
      () => touch(random(rows)),
    ];
    const expire = (i: number, interval: string) =>
      query(
        "update memories set expires_at = now() + $3::interval where tenant = $1 and id = any($2)",
        [tenant, Array.from({ length: 5 }, (_, n) => `d${(i + 3 * n) % rows}`), interval],
      );
    const touch = (i: number) =>
      query(
        `update memories set metadata = '{"touched": true}' where tenant = $1 and id = any($2)`,
        [tenant, Array.from({ length: 20 }, (_, n) => `d${(i + n) % rows}`)],
      );

    const search = async (of: PostgresDocumentStore, by: SearchBy) => {
      const filter = random(4) > 0 ? undefined : ofRepo(`repo${random(3)}`);
      const given = { limit: [1, 5, 20, 60][random(4)] ?? 1, minScore: random(3) / 50, filter };
      const found = await of.search(tenant, collection, searchOf(by, given));
      const truth = await of.search(tenant, collection, searchOf(by, { ...given, exact: true }));
      expectSameHits(found, truth);
    };

    for (let round = 0; round < rounds; round++) {
      if (random(2) === 0) await write[random(write.length)]?.();
      if (random(2) === 0) await store.settled();
      const vector = vectorOf(random(2) === 0 ? random(150) : 1_000 + random(150));
      await search(store, { mode: "vector", vector });
      if (round % 10 > 0) continue;
      // How much a word counts is as old as what is remembered, and follows from expired ones too.
      await query("delete from memories where tenant = $1 and expires_at <= now()", [tenant]);
      await using fresh = new PostgresDocumentStore(postgres, { knownScopes });
      await search(fresh, { mode: "vector", vector });
      await fresh.settled();
      for (let i = 0; i < 4; i++) {
        const text = `word${random(9)} word${random(40)} unheard`;
        await search(fresh, { mode: "text", text });
        await search(fresh, { mode: "hybrid", vector, text });
      }
    }
    expect(unchanged).toBeGreaterThan(rounds / 2);
  });
});
