import { LRUCache } from "lru-cache";
import { expect, test } from "vitest";
import { rejection } from "../../shared/rpc/testing/conditions.ts";
import { type ScopeKnowledge, ScopeMemory } from "./scope-knowledge.ts";

function large(documents: number): ScopeKnowledge {
  return {
    statistics: { documents, meanLength: 10 },
    common: new Map(),
    counted: new LRUCache<string, number>({ max: 1 }),
  };
}

test("whoever asks while a scope is measured waits for the same measuring", async () => {
  const memory = new ScopeMemory();
  const measured = Promise.withResolvers<ScopeKnowledge>();
  let times = 0;
  const measure = () => {
    times += 1;
    return measured.promise;
  };
  const asked = [1, 2, 3].map(() => memory.get("a", measure, undefined));
  const knowledge = large(5_000);
  measured.resolve(knowledge);
  for (const one of await Promise.all(asked)) expect(one).toBe(knowledge);
  expect(await memory.get("a", measure, undefined)).toBe(knowledge);
  expect(times).toBe(1);
});

test("a caller that leaves takes nothing from the others", async () => {
  const memory = new ScopeMemory();
  const measured = Promise.withResolvers<ScopeKnowledge>();
  const leaving = new AbortController();
  const left = memory.get("a", () => measured.promise, leaving.signal);
  const staying = memory.get("a", () => measured.promise, undefined);
  const reason = new Error("gone");
  leaving.abort(reason);
  expect(await rejection(left)).toBe(reason);
  measured.resolve("small");
  expect(await staying).toBe("small");
});

test("a large scope is told as it was while it is measured anew, a small one is measured first", async () => {
  let now = 0;
  const memory = new ScopeMemory(() => now);
  const first = large(5_000);
  expect(await memory.get("large", async () => first, undefined)).toBe(first);
  expect(await memory.get("small", async () => "small", undefined)).toBe("small");
  now = 4_999;
  const unwanted = async () => await Promise.reject(new Error("not asked for"));
  expect(await memory.get("large", unwanted, undefined)).toBe(first);
  expect(await memory.get("small", unwanted, undefined)).toBe("small");
  now = 5_001;
  const second = large(6_000);
  const again = Promise.withResolvers<ScopeKnowledge>();
  expect(await memory.get("large", () => again.promise, undefined)).toBe(first);
  again.resolve(second);
  await again.promise;
  await new Promise(setImmediate);
  expect(await memory.get("large", unwanted, undefined)).toBe(second);
  expect(await memory.get("small", async () => second, undefined)).toBe(second);
});

test("what took long to learn is remembered longer; a failure is not remembered", async () => {
  let now = 0;
  const memory = new ScopeMemory(() => now);
  const failure = new Error("away");
  expect(await rejection(memory.get("a", () => Promise.reject(failure), undefined))).toBe(failure);
  const knowledge = large(5_000);
  const slow = async () => {
    now += 1_000;
    return knowledge;
  };
  expect(await memory.get("a", slow, undefined)).toBe(knowledge);
  now += 49_000;
  let measured = 0;
  const counting = async () => {
    measured += 1;
    return knowledge;
  };
  await memory.get("a", counting, undefined);
  expect(measured).toBe(0);
  now += 2_000;
  await memory.get("a", counting, undefined);
  expect(measured).toBe(1);
});
