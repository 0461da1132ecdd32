import { expect, test } from "vitest";
import { KnownTurns } from "./known-turns.ts";

/** A store that tells of turns when the test says so, and counts who asks. */
function storeOf(tenantsWithTurns: readonly string[] = []) {
  const tenants = new Set(tenantsWithTurns);
  const state = { asked: 0, before: async () => {} };
  return {
    state,
    async hasTurns(tenant: string) {
      state.asked++;
      const any = tenants.has(tenant);
      await state.before();
      return any;
    },
  };
}

const callOf = (tenant: string) => ({ tenant, signal: new AbortController().signal });

test("what is known is not asked for again, of each tenant", async () => {
  const store = storeOf(["talks"]);
  const turns = new KnownTurns(store);
  for (let n = 0; n < 3; n++) expect(await turns.any(callOf("talks"))).toBe(true);
  expect(store.state.asked).toBe(1);
  expect(await turns.any(callOf("silent"))).toBe(false);
  expect(store.state.asked).toBe(2);
});

test("a turn that is stored is known at once, also to who asked before", async () => {
  const store = storeOf();
  const turns = new KnownTurns(store);
  store.state.before = async () => turns.noted("t");
  expect(await turns.any(callOf("t"))).toBe(true);
  expect(await turns.any(callOf("t"))).toBe(true);
  expect(store.state.asked).toBe(1);
});

test("a store that does not answer leaves nothing known", async () => {
  const store = storeOf(["t"]);
  const turns = new KnownTurns(store);
  store.state.before = async () => {
    throw new Error("away");
  };
  await expect(turns.any(callOf("t"))).rejects.toThrow("away");
  store.state.before = async () => {};
  expect(await turns.any(callOf("t"))).toBe(true);
});
