import type { Client } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startedClient } from "../../services/vector-store/testing/running-store.ts";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import type { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { vectorOf } from "../conformance/document-store-samples.ts";
import { describeEachStore } from "../harness/postgres.ts";

const exactScope = 200;

describeEachStore("an index that is built by itself", (kind, database) => {
  let stack: AsyncDisposableStack;
  let clients: Client<typeof VectorStoreService>[];
  let observer: Postgres;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    observer = database().open({ poolSize: 2 });
    // Before anybody reads how large the table is.
    clients = [await start(), await start()];
  });
  afterAll(() => stack.disposeAsync());

  const start = () =>
    startedClient(stack, database().url, {
      MAHAVISHNU_VECTOR_STORE_EXACT_SCOPE: String(exactScope),
      MAHAVISHNU_VECTOR_STORE_AUTO_INDEX: "on",
    });

  async function fill(from: number, to: number): Promise<void> {
    const documents = Array.from({ length: to - from }, (_, i) => ({
      id: `d${from + i}`,
      content: `document ${from + i}`,
      vector: { values: vectorOf(from + i) },
      memoryType: MemoryType.RAG,
      sourceSystem: "test",
    }));
    await clients[0]?.upsertDocuments({ documents, model: "m" });
  }

  const searchAll = async () => {
    const vector = { values: vectorOf(1) };
    const found = await Promise.all(clients.map((client) => client.search({ vector })));
    for (const { hits } of found) expect(hits[0]?.document?.id).toBe("d1");
  };

  /** Object ids of indexes of vectors that are in use. */
  const indexes = async () => {
    const { rows } = await observer.query<{ oid: number }>(
      `select p.indexrelid::int8::float8 as oid
      from pg_index p join pg_class x on x.oid = p.indexrelid join pg_am a on a.oid = x.relam
      where p.indrelid = 'memories'::regclass and a.amname = 'hnsw' and p.indisvalid`,
    );
    return rows.map((row) => row.oid);
  };

  test("comes when a collection that is searched has grown, once for all processes", {
    timeout: 60_000,
  }, async () => {
    await fill(0, 50);
    await searchAll();
    expect(await indexes()).toEqual([]);
    await fill(50, 2 * exactScope);
    await observer.query("analyze memories");
    // Both processes see it grow within seconds, and both search meanwhile.
    const grown = async () => {
      await searchAll();
      return (await indexes()).length;
    };
    if (kind === "pglite") {
      for (let i = 0; i < 30; i++) expect(await grown()).toBe(0);
      return;
    }
    await expect.poll(grown, { timeout: 30_000, interval: 50 }).toBe(1);
    const [built] = await indexes();
    const known = async () => {
      await searchAll();
      const described = clients.map((client) => client.getCollection({ name: "memories" }));
      return (await Promise.all(described)).every(({ collection }) => collection?.index);
    };
    await expect.poll(known, { timeout: 30_000, interval: 50 }).toBe(true);
    // Whoever still thought that there was none has tried by now, and left it.
    await stack.disposeAsync();
    expect(await indexes()).toEqual([built]);
  });
});
