import { expect, test } from "vitest";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, newDocument } from "./document-store-samples.ts";
import { DocumentStoreSuite, everything } from "./document-store-suite.ts";

describeEachStore("document store", (_, database) => {
  const suite = new DocumentStoreSuite(database);
  const { newTenant, write } = suite;

  test("lists by code point, in pages that survive writes and deletes between them", async () => {
    const tenant = newTenant();
    const ids = ["B", "a", "_", "ä", "a-1", "🦄", "￮", "0"];
    await write(tenant, ...ids.map((id) => newDocument(`of ${id}`, { id })));
    const expected = [...ids].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const seen: string[] = [];
    let after: string | undefined;
    for (let page = 0; page < 10; page++) {
      const query = { filter: undefined, after, limit: 3, includeVectors: false };
      const { documents, more } = await suite.store.list(tenant, collection, query);
      seen.push(...documents.map((one) => one.id));
      after = seen.at(-1);
      if (page === 0) {
        await write(tenant, newDocument("before the page", { id: "!" }));
        await suite.store.delete(tenant, collection, { by: "ids", ids: [seen[2] ?? ""] });
      }
      if (!more) break;
    }
    expect(seen).toEqual(expected);
  });

  test("a page ends before it is too large for a message, and the next one goes on", async () => {
    const tenant = newTenant();
    const ids = Array.from({ length: 10 }, (_, i) => `doc-${i}`);
    for (const id of ids) await write(tenant, newDocument(id.padEnd(1_048_576, "x"), { id }));
    const first = await suite.store.list(tenant, collection, everything);
    expect(first.documents.length).toBeLessThan(10);
    expect(first.documents.length).toBeGreaterThan(5);
    expect(first.more).toBe(true);
    const after = first.documents.at(-1)?.id;
    const rest = await suite.store.list(tenant, collection, { ...everything, after });
    expect([...first.documents, ...rest.documents].map((one) => one.id)).toEqual(ids);
    expect(rest.more).toBe(false);
  });

  test("documents that are too large together are refused before they are read", async () => {
    const tenant = newTenant();
    const ids = Array.from({ length: 18 }, (_, i) => `doc-${i}`);
    for (const id of ids) await write(tenant, newDocument(id.padEnd(1_048_576, "x"), { id }));
    const get = (asked: string[]) => suite.store.get(tenant, collection, asked, true);
    const tooLarge = { kind: "resource_exhausted", reason: "MESSAGE_TOO_LARGE" };
    await expect(get(ids)).rejects.toMatchObject(tooLarge);
    await expect(get(Array(18).fill("doc-0"))).rejects.toMatchObject(tooLarge);
    const some = ids.slice(4, 18);
    expect((await get([...some, "nobody"])).map((one) => one.id)).toEqual(some);
  });
});
