import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { Catalogue } from "./catalogue.ts";
import { createBreathe } from "./event-loop.ts";
import { rank, type SearchQuery } from "./search.ts";
import { DuckDbSideIndex } from "./side-index-store.ts";
import { reflection } from "./testing/records.ts";
import { temporaryFolder } from "./testing/session-buddy-files.ts";
import { type Embedder, UnknownModelError, VectorIndexing } from "./vector-indexing.ts";
import { type Similarities, VectorMatrix } from "./vector-matrix.ts";

let resources: Resources;
let path: string;
beforeEach(async () => {
  resources = new Resources((_, error) => {
    throw error;
  });
  const folder = resources.use("folder", await temporaryFolder());
  path = join(folder.path, "side-index.duckdb");
});
afterEach(() => resources[Symbol.asyncDispose]());

async function catalogueOf(...contents: string[]): Promise<Catalogue> {
  const catalogue = new Catalogue();
  await catalogue.add(contents.map((content, at) => reflection(String(at), content)));
  return catalogue;
}

/** Vectors that tell a text's length from its opposite. */
const vectorOf = (text: string, dimension: number) =>
  Array.from({ length: dimension }, (_, at) => (at === 0 ? text.length : 1));

class FakeEmbedder implements Embedder {
  readonly calls: { model: string; texts: readonly string[] }[] = [];
  readonly dimensions: Record<string, number> = { small: 2, large: 3 };
  down = false;

  async embed(model: string, texts: readonly string[]) {
    this.calls.push({ model, texts });
    if (this.down) throw new Error("down");
    const name = model || "small";
    const dimension = this.dimensions[name];
    if (dimension === undefined) throw new UnknownModelError(name);
    return {
      model: name,
      texts: texts.map((text) =>
        text.includes("poison")
          ? { refused: "lasting" as const }
          : { vector: vectorOf(text, dimension) },
      ),
    };
  }
}

async function open(
  catalogue: () => Catalogue | undefined,
  embedder: Embedder,
  life: Resources = resources,
) {
  const index = life.use("index", await DuckDbSideIndex.open(path, silentLogger()));
  const indexing = life.use(
    "indexing",
    new VectorIndexing({
      index,
      embedder,
      catalogue,
      logger: silentLogger(),
      pauseMs: 0,
      retryMs: 5,
    }),
  );
  indexing.start();
  return { index, indexing };
}

async function until(condition: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (condition()) return;
    await sleep(10);
  }
  throw new Error(`still not so: ${condition}`);
}

test("every content gets its vector in bounded batches; a refused one does not stop the rest", async () => {
  const contents = Array.from({ length: 100 }, (_, at) => `text ${"x".repeat(at)}`);
  const catalogue = await catalogueOf(...contents, "poison", " ");
  const embedder = new FakeEmbedder();
  const { index, indexing } = await open(() => catalogue, embedder);
  await until(() => index.size === 100);
  expect(embedder.calls.every(({ texts }) => texts.length <= 32)).toBe(true);
  await sleep(50);
  const poisoned = embedder.calls.filter(({ texts }) => texts.includes("poison"));
  expect(poisoned).toHaveLength(1);
  expect(indexing.indexedRecords(catalogue)).toBe(100);
  const { pending, found, model } = indexing.compare({ model: "small", values: [1, 0] }, catalogue);
  expect({ pending, model, size: found.size }).toEqual({ pending: 0, model: "small", size: 100 });
  for (const place of Array(100).keys()) {
    expect(found.at(place)).toBeGreaterThan(0.9);
    expect(found.at(place)).toBeLessThanOrEqual(1);
  }
});

test("a restart goes on where it stopped", async () => {
  const catalogue = await catalogueOf("one", "two", "three");
  {
    const first = new FakeEmbedder();
    await using life = new Resources();
    const { index } = await open(() => catalogue, first, life);
    await until(() => index.size === 3);
  }
  await catalogue.add([reflection("9", "four")]);
  const second = new FakeEmbedder();
  const { index } = await open(() => catalogue, second);
  await until(() => index.size === 4);
  expect(second.calls.flatMap(({ texts }) => texts)).toEqual(["four"]);
});

test("it outlives an embedder that is down", async () => {
  const catalogue = await catalogueOf("one");
  const embedder = new FakeEmbedder();
  embedder.down = true;
  const { index, indexing } = await open(() => catalogue, embedder);
  await until(() => embedder.calls.length >= 2);
  expect(indexing.compare({ model: "small", values: [1, 0] }, catalogue).model).toBe(undefined);
  embedder.down = false;
  await until(() => index.size === 1);
});

test("another model takes over when it is asked for, and drops the vectors of the former", async () => {
  const catalogue = await catalogueOf("one", "two");
  const { index, indexing } = await open(() => catalogue, new FakeEmbedder());
  await until(() => index.size === 2);
  const early = indexing.compare({ model: "large", values: [1, 0, 0] }, catalogue);
  expect(early).toMatchObject({ model: "small", found: { size: 0 } });
  await until(() => index.model === "large" && index.size === 2);
  const { found, dimension } = indexing.compare({ model: "large", values: [1, 0, 0] }, catalogue);
  expect({ size: found.size, dimension }).toEqual({ size: 2, dimension: 3 });
});

test("a model that is asked for keeps its place, and nobody's model drops nothing", async () => {
  const catalogue = await catalogueOf("one", "two");
  const embedder = new FakeEmbedder();
  const { index, indexing } = await open(() => catalogue, embedder);
  await until(() => index.size === 2);
  indexing.compare({ model: "nobody", values: [1] }, catalogue);
  await until(() => embedder.calls.some(({ model }) => model === "nobody"));
  indexing.compare({ model: "small", values: [1, 0] }, catalogue);
  indexing.compare({ model: "large", values: [1, 0, 0] }, catalogue);
  await sleep(50);
  expect(index.model).toBe("small");
  expect(index.size).toBe(2);
  expect(embedder.calls.filter(({ model }) => model === "nobody")).toHaveLength(1);
});

test("contents that are gone lose their vectors", async () => {
  let catalogue = await catalogueOf("one", "two");
  const { index, indexing } = await open(() => catalogue, new FakeEmbedder());
  await until(() => index.size === 2);
  catalogue = await catalogueOf("two");
  indexing.contentsChanged();
  await until(() => index.size === 1);
});

test("a query of another dimension is compared with nothing", async () => {
  const catalogue = await catalogueOf("one");
  const { index, indexing } = await open(() => catalogue, new FakeEmbedder());
  await until(() => index.size === 1);
  const { found, dimension } = indexing.compare({ model: "small", values: [1] }, catalogue);
  expect({ size: found.size, dimension }).toEqual({ size: 0, dimension: 2 });
});

test("a damaged side index is built anew", async () => {
  await writeFile(path, "no database ".repeat(2_000));
  const catalogue = await catalogueOf("one");
  const { index } = await open(() => catalogue, new FakeEmbedder());
  await until(() => index.size === 1);
});

test("without a side index all is found by text", async () => {
  const catalogue = await catalogueOf("one");
  const indexing = new VectorIndexing({
    index: undefined,
    embedder: new FakeEmbedder(),
    catalogue: () => catalogue,
    logger: silentLogger(),
  });
  indexing.start();
  const { found, model } = indexing.compare({ model: "small", values: [1, 0] }, catalogue);
  expect({ size: found.size, model }).toEqual({ size: 0, model: undefined });
  await indexing[Symbol.asyncDispose]();
});

test("a hybrid score is the weighted mean of both parts; a record without a vector scores by its text", async () => {
  const catalogue = await catalogueOf("bounded pool", "network jitter", "pool of workers");
  const hash = (at: number) => catalogue.entries[at]?.hash ?? "";
  const known: Similarities = {
    size: 2,
    at: (place) => [0.4, 0.8][place],
    nearest: async () => [hash(0), hash(1)],
  };
  const hits = await rank(asking("pool"), catalogue, known, createBreathe());
  const byId = new Map(hits.map((hit) => [hit.record.id, hit]));
  const text = catalogue.text.search(["pool"]);
  expect(byId.get("0")?.score).toBeCloseTo(0.6 * 0.4 + 0.4 * (text.get(0) ?? 0), 6);
  expect(byId.get("1")).toMatchObject({ textScore: 0 });
  expect(byId.get("1")?.score).toBeCloseTo(0.6 * 0.8, 6);
  expect(byId.get("2")?.score).toBe(byId.get("2")?.textScore);
  expect(byId.get("2")?.vectorScore).toBeUndefined();
});

test("of many records the best are the same as if every one were scored", async () => {
  const count = 12_000;
  const texts = Array.from({ length: count }, (_, at) => {
    const rare = at % 17 === 0 ? "pool " : "";
    return `${rare}${at % 2 === 0 ? "common " : ""}word${at}`;
  });
  const catalogue = await catalogueOf(...texts);
  const matrix = new VectorMatrix(64);
  const vectorOf = (at: number) =>
    Array.from({ length: 64 }, (_, i) => Math.sin((at % 300) * (i + 1)) + 0.3 * Math.cos(at * i));
  catalogue.entries.forEach(({ hash }, at) => {
    matrix.set(hash, vectorOf(at));
  });
  const similarities = matrix.similarities(vectorOf(17), catalogue.hashes);
  const hits = await rank(asking("common pool"), catalogue, similarities, createBreathe());
  const textScores = catalogue.text.search(["common", "pool"]);
  const every = catalogue.entries
    .map(({ record: { id } }, at) => ({
      id,
      score: Math.fround(
        0.6 * Math.fround(similarities.at(at) ?? 0) + 0.4 * Math.fround(textScores.get(at) ?? 0),
      ),
    }))
    .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1));
  const best = every.slice(0, 10).map(({ id }) => id);
  expect(hits.map(({ record: { id } }) => id)).toEqual(best);
});

function asking(text: string): SearchQuery {
  return {
    tenant: "t",
    text,
    vector: undefined,
    project: "",
    limit: 10,
    minScore: 0,
    kinds: new Set(),
    filter: undefined,
  };
}
