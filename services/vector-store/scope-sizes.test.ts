import { expect, test } from "vitest";
import { ScopeSizes } from "./scope-sizes.ts";

test("counts a scope once for all who ask at the same time, and remembers it", async () => {
  const sizes = new ScopeSizes(60_000);
  let counts = 0;
  const { promise, resolve } = Promise.withResolvers<number>();
  const question = {
    key: "a",
    count: () => {
      counts += 1;
      return promise;
    },
  };
  const both = [sizes.get(question, undefined), sizes.get(question, undefined)];
  resolve(7);
  expect(await Promise.all(both)).toEqual([7, 7]);
  expect(await sizes.get(question, undefined)).toBe(7);
  expect(counts).toBe(1);
  expect(await sizes.get({ key: "b", count: async () => 9 }, undefined)).toBe(9);
});

test("who leaves ends nobody else's count", async () => {
  const sizes = new ScopeSizes(60_000);
  const { promise, resolve } = Promise.withResolvers<number>();
  const question = { key: "a", count: () => promise };
  const leaver = new AbortController();
  const leaving = sizes.get(question, leaver.signal);
  const staying = sizes.get(question, undefined);
  leaver.abort(new Error("gone"));
  await expect(leaving).rejects.toThrow("gone");
  resolve(3);
  expect(await staying).toBe(3);
});

test("a count that failed is done again", async () => {
  const sizes = new ScopeSizes(60_000);
  const failing = { key: "a", count: () => Promise.reject(new Error("down")) };
  await expect(sizes.get(failing, undefined)).rejects.toThrow("down");
  expect(await sizes.get({ key: "a", count: async () => 4 }, undefined)).toBe(4);
});
