import { expect, test } from "vitest";
import type { Collection } from "./collection.ts";
import { CollectionCache } from "./collection-cache.ts";

function collection(embeddingModel: string | undefined): Collection {
  return {
    name: "memories",
    dimension: 768,
    distance: "cosine",
    embeddingModel,
    index: undefined,
    textLanguage: "english",
    createTime: 0n,
  };
}

test("remembers a collection that a model has claimed, for its lifetime", async () => {
  let reads = 0;
  let lifetime = 60_000;
  let model: string | undefined;
  const read = async () => {
    reads += 1;
    return collection(model);
  };
  const cache = new CollectionCache(read, lifetime);
  await cache.get("memories", undefined);
  await cache.get("memories", undefined);
  expect(reads).toBe(2);
  model = "m";
  await cache.get("memories", undefined);
  await cache.get("memories", undefined);
  expect(reads).toBe(3);
  lifetime = 0;
  const forgetful = new CollectionCache(read, lifetime);
  await forgetful.get("memories", undefined);
  await forgetful.get("memories", undefined);
  expect(reads).toBe(5);
});
