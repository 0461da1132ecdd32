import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { concurrently } from "./concurrently.ts";

test("keeps the order and the bound", async () => {
  let running = 0;
  let most = 0;
  const results = await concurrently([5, 1, 4, 2, 3], 2, async (item, position) => {
    running += 1;
    most = Math.max(most, running);
    for (let i = 0; i < item; i++) await setImmediate();
    running -= 1;
    return `${position}:${item}`;
  });
  expect(results).toEqual(["0:5", "1:1", "2:4", "3:2", "4:3"]);
  expect(most).toBe(2);
});

test("begins nothing more once one has failed", async () => {
  const begun: number[] = [];
  const work = concurrently([1, 2, 3, 4, 5], 2, async (item) => {
    begun.push(item);
    await setImmediate();
    if (item === 2) throw new Error("two");
  });
  await expect(work).rejects.toThrow("two");
  await setImmediate();
  await setImmediate();
  expect(begun).toEqual([1, 2, 3]);
});
