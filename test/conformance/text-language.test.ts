import { beforeAll, expect, test } from "vitest";
import { PostgresLanguageStore } from "../../services/vector-store/language-store.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { silentLogger } from "../../shared/logging.ts";
import { rejection } from "../../shared/rpc/testing/conditions.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, newDocument, searchOf, writeOf } from "./document-store-samples.ts";

const never = new AbortController().signal;

describeEachStore("text language", (kind, database) => {
  let languages: PostgresLanguageStore;

  beforeAll(() => {
    const config = {
      url: database().url,
      poolSize: 2,
      statementTimeoutMs: 30_000,
      applicationName: "mahavishnu-test",
    };
    languages = new PostgresLanguageStore(database().open(), config, silentLogger());
  });

  /** A store that has read no collection yet. */
  const fresh = (given = {}) => new PostgresDocumentStore(database().open({ poolSize: 2 }), given);
  const found = async (store: PostgresDocumentStore, text: string) => {
    const hits = await store.search("t", collection, searchOf({ mode: "text", text }));
    return hits.map((one) => one.document.id);
  };

  test("texts are found by the words of the language, before and after it changes", async () => {
    const documents = [
      newDocument("Die Häuser der Nachbarn wurden gebaut", { id: "german" }),
      newDocument("The neighbours were building houses", { id: "english" }),
    ];
    await fresh().write("t", writeOf(...documents));
    expect(await languages.language(never)).toBe("english");
    expect(await found(fresh(), "builds a house")).toEqual(["english"]);
    expect(await found(fresh(), "Haus")).toEqual([]);

    await languages.change("german", never);
    expect(await languages.language(never)).toBe("german");
    expect((await fresh().collection(collection)).textLanguage).toBe("german");
    for (const store of [fresh(), fresh({ countedUpTo: 0, scoredUpTo: 0 })]) {
      expect(await found(store, "Haus")).toEqual(["german"]);
      expect(await found(store, "der die")).toEqual([]);
    }
    await fresh().write("t", writeOf(newDocument("Ein neues Haus", { id: "later" })));
    expect((await found(fresh(), "Häuser")).toSorted()).toEqual(["german", "later"]);

    await languages.change("simple", never);
    expect(await found(fresh(), "Haus")).toEqual(["later"]);
    expect(await found(fresh(), "der")).toEqual(["german"]);
    expect(await found(fresh(), "THE")).toEqual(["english"]);
    await languages.change("english", never);
    expect(await found(fresh(), "building")).toEqual(["english"]);
  });

  test("two that change it at once do it once", async () => {
    await Promise.all([languages.change("simple", never), languages.change("simple", never)]);
    expect(await languages.language(never)).toBe("simple");
    await languages.change("english", never);
  });

  test("one that is unknown changes nothing", async () => {
    expect(await languages.languages(never)).toEqual(
      expect.arrayContaining(["english", "german", "simple"]),
    );
    await rejection(languages.change("klingon", never));
    expect(await languages.language(never)).toBe("english");
    await fresh().write("t", writeOf(newDocument("a later text", { id: "after" })));
    expect(await found(fresh(), "texts")).toEqual(["after"]);
  });

  test("a change that is stopped leaves everything as it was", async () => {
    if (kind === "pglite") return;
    const blocker = database().open({ poolSize: 1 });
    const stop = new AbortController();
    await blocker.transaction(async (tx) => {
      await tx.query("lock table memories in share mode");
      const changing = languages.change("german", stop.signal);
      stop.abort(new Error("stopping"));
      expect(await rejection(changing)).toMatchObject({ message: "stopping" });
    });
    expect(await languages.language(never)).toBe("english");
  });
});
