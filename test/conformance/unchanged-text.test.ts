import { beforeAll, expect, test } from "vitest";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, newDocument, searchOf, writeOf } from "./document-store-samples.ts";

describeEachStore("lexemes of a content that stays", (_, database) => {
  let postgres: Postgres;
  let store: PostgresDocumentStore;

  beforeAll(() => {
    postgres = database().open();
    store = new PostgresDocumentStore(postgres);
  });

  const found = async (tenant: string, text: string) => {
    const hits = await store.search(tenant, collection, searchOf({ mode: "text", text }));
    return hits.map((hit) => hit.document.id);
  };
  /** A word that no text has tells whether lexemes were made anew. */
  const mark = (tenant: string) =>
    postgres.query(`update memories set lexemes = lexemes || 'marker:9' where tenant = $1`, [
      tenant,
    ]);

  test("are kept by writes of the same content, and made anew by another", async () => {
    const write = (content: string, metadata = "{}") =>
      store.write("t", writeOf(newDocument(content, { id: "a", metadata })));
    await write("a house by the sea");
    await mark("t");
    await write("a house by the sea", '{"seen": 2}');
    expect(await found("t", "marker")).toEqual(["a"]);
    expect(await found("t", "houses")).toEqual(["a"]);
    await write("a house by the lake");
    expect(await found("t", "marker")).toEqual([]);
    expect(await found("t", "lakes")).toEqual(["a"]);
  });

  test("are made anew by who asks for it, and as a process of an older version does", async () => {
    await store.write("u", writeOf(newDocument("a tree on the hill", { id: "b" })));
    await mark("u");
    await postgres.query("update memories set content = content, lexemes = null");
    expect(await found("u", "marker")).toEqual([]);
    expect(await found("u", "trees")).toEqual(["b"]);
    await mark("u");
    await postgres.query(
      `create or replace trigger memories_index_text before insert or update of content on memories
      for each row execute function memories_index_text('english')`,
    );
    await postgres.query("update memories set content = content");
    expect(await found("u", "marker")).toEqual([]);
    expect(await found("u", "trees")).toEqual(["b"]);
  });

  test("are of the collection's language", async () => {
    await store.createCollection({
      name: "german",
      dimension: 3,
      distance: "cosine",
      embeddingModel: undefined,
      textLanguage: "german",
    });
    const document = newDocument("Die Häuser am See", { id: "c" });
    await store.write("v", { ...writeOf(document), collection: "german" });
    const hits = await store.search("v", "german", searchOf({ mode: "text", text: "Haus" }));
    expect(hits.map((hit) => hit.document.id)).toEqual(["c"]);
  });
});
