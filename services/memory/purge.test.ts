import { expect, it } from "vitest";
import type { Documents } from "./ports.ts";
import { purgeVersions } from "./purge.ts";

it("removes the versions of memories that are gone, tenant by tenant, and no others", async () => {
  const versioned = Array.from({ length: 250 }, (_, n) => ({
    tenant: n < 130 ? "a" : "b",
    memoryId: `m${String(n).padStart(3, "0")}`,
  }));
  const there = new Set(["a/m001", "a/m129", "b/m130", "b/m249"]);
  const removed: string[] = [];
  const store = {
    purgeRequests: async () => 0,
    async versionedMemories(after: (typeof versioned)[number] | undefined, limit: number) {
      const from =
        after === undefined ? 0 : versioned.findIndex((one) => one.memoryId > after.memoryId);
      return from < 0 ? [] : versioned.slice(from, from + limit);
    },
    async forgetVersions(tenant: string, ids: readonly string[]) {
      removed.push(...ids.map((id) => `${tenant}/${id}`));
      return ids.length;
    },
  };
  const documents = {
    get: async ({ tenant }: { tenant: string }, ids: readonly string[]) =>
      ids.filter((id) => there.has(`${tenant}/${id}`)).map((id) => ({ id })),
  } as unknown as Documents;
  const signal = new AbortController().signal;
  expect(await purgeVersions({ store, documents }, signal)).toBe(246);
  const all = versioned.map(({ tenant, memoryId }) => `${tenant}/${memoryId}`);
  expect(removed).toEqual(all.filter((one) => !there.has(one)));
});
