import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import type { SearchBy, SearchQuery } from "../../services/vector-store/search.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, newDocument, searchOf, vectorOf, writeOf } from "./document-store-samples.ts";

const documents = 400;
const corpora = 3;
const queries = 20;

/** Words from common to rare; the hostile ones are words of their own too. */
const vocabulary = [...Array.from({ length: 60 }, (_, i) => `q${i}z`), "o'neil", "back\\slash"];

/** A number below `below` that is more often small than large. */
const skewed = (below: number) =>
  fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }).map((at) => {
    return Math.floor(below * at ** 3);
  });
const word = skewed(vocabulary.length).map((rank) => vocabulary[rank] ?? "");
const text = fc.array(word, { minLength: 1, maxLength: 40 }).map((list) => list.join(" "));
const query = fc.record({
  words: fc.array(fc.oneof(word, fc.constantFrom(...vocabulary, "unheard")), {
    minLength: 1,
    maxLength: 12,
  }),
  limit: fc.constantFrom(1, 5, 20),
  narrowed: fc.boolean(),
});

describeEachStore("text search", (_, database) => {
  let counted: PostgresDocumentStore;
  let scoringAll: PostgresDocumentStore;
  let pruning: PostgresDocumentStore;

  beforeAll(() => {
    const pool = database().open();
    counted = new PostgresDocumentStore(pool);
    scoringAll = new PostgresDocumentStore(pool, { countedUpTo: 0, scoredUpTo: 1_000_000 });
    pruning = new PostgresDocumentStore(pool, { countedUpTo: 0, scoredUpTo: 0 });
  });

  async function found(
    store: PostgresDocumentStore,
    tenant: string,
    by: SearchBy,
    given: Partial<SearchQuery>,
  ) {
    const hits = await store.search(tenant, collection, searchOf(by, given));
    return hits.map(({ document: { id }, score, textScore, vectorScore }) => {
      return { id, score, textScore, vectorScore };
    });
  }

  test("what is not read could not have been among the best", { timeout: 120_000 }, async () => {
    const makers = fc.sample(fc.array(text, { minLength: documents, maxLength: documents }), {
      numRuns: corpora,
      seed: 7,
    });
    let hits = 0;
    for (const [i, texts] of makers.entries()) {
      const tenant = `corpus-${i}`;
      const list = texts.map((one, position) =>
        newDocument(`${one} d${position}`, {
          id: `d${position}`,
          repoId: `repo${position % 3}`,
          ...(i === 0 && { vector: vectorOf(position % 50) }),
        }),
      );
      await counted.write(tenant, writeOf(...list));
      await fc.assert(
        fc.asyncProperty(query, async ({ words, limit, narrowed }) => {
          const test = { kind: "equals" as const, value: "repo1" };
          const condition = { on: "text" as const, field: "repo_id" as const, test };
          const filter = narrowed ? { node: "condition" as const, condition } : undefined;
          const legs: SearchBy[] = [{ mode: "text", text: words.join(" ") }];
          if (i === 0) legs.push({ mode: "hybrid", vector: vectorOf(3), text: words.join(" ") });
          for (const by of legs) {
            const best = await found(pruning, tenant, by, { filter, limit });
            expect(best).toEqual(await found(scoringAll, tenant, by, { filter, limit }));
            const exact = await found(counted, tenant, by, { filter, limit });
            expect(best).toHaveLength(exact.length);
            for (const [at, hit] of best.entries()) {
              expect(hit.score).toBeCloseTo(exact[at]?.score ?? Number.NaN, 6);
              expect(hit.textScore ?? -1).toBeCloseTo(exact[at]?.textScore ?? -1, 6);
            }
            hits += best.length;
          }
        }),
        { numRuns: queries, seed: 11 + i },
      );
    }
    expect(hits).toBeGreaterThan(300);
  });

  test("expired documents count in no statistics", async () => {
    const tenant = "expired";
    const live = Array.from({ length: 20 }, (_, i) => newDocument(`lion d${i} ${"x ".repeat(i)}`));
    const expired = Array.from({ length: 20 }, (_, i) =>
      newDocument(`zebra lion gone${i}`, { expireTime: 1n }),
    );
    await counted.write(tenant, writeOf(...live, newDocument("zebra"), ...expired));
    const by: SearchBy = { mode: "text", text: "zebra lion" };
    const exact = await found(counted, tenant, by, { limit: 30 });
    const planned = await found(pruning, tenant, by, { limit: 30 });
    expect(planned).toHaveLength(21);
    for (const [at, hit] of planned.entries()) {
      expect(hit.score).toBeCloseTo(exact[at]?.score ?? Number.NaN, 6);
    }
  });

  test("a large scope in which no word stands has no hit, and no query is syntax there", async () => {
    const tenant = "large";
    const list = Array.from({ length: 50 }, (_, i) =>
      newDocument(`common o'neil back\\slash ${i}`, { id: `d${i}`, vector: vectorOf(i) }),
    );
    await counted.write(tenant, writeOf(...list));
    for (const nothing of ["unheard of", "", "the", "\0", "\ud800", "' | common", "!common"]) {
      const by: SearchBy = { mode: "text", text: nothing };
      const expected = await found(counted, tenant, by, {});
      expect(await found(pruning, tenant, by, {}), nothing).toEqual(expected);
    }
    const hybrid: SearchBy = { mode: "hybrid", vector: vectorOf(7), text: "the" };
    expect(await found(pruning, tenant, hybrid, {})).toEqual(
      await found(counted, tenant, hybrid, {}),
    );
    const odd = await found(pruning, tenant, { mode: "text", text: "o'neil back\\slash" }, {});
    expect(odd).toHaveLength(10);
  });
});
