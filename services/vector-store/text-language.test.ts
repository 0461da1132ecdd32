import { describe, expect, test } from "vitest";
import { rejection } from "../../shared/rpc/testing/conditions.ts";
import { type LanguageStore, TextLanguage } from "./text-language.ts";

const never = new AbortController().signal;

class FakeStore implements LanguageStore {
  current = "english";
  readonly changes: string[] = [];
  readonly #outcomes: PromiseWithResolvers<void>[] = [];

  language = async () => this.current;
  languages = async () => ["english", "german"];
  change(language: string): Promise<void> {
    this.changes.push(language);
    const outcome = Promise.withResolvers<void>();
    this.#outcomes.push(outcome);
    return outcome.promise;
  }
  finish(language: string): void {
    this.current = language;
    this.#outcomes.at(-1)?.resolve();
  }
  fail(error: Error): void {
    this.#outcomes.at(-1)?.reject(error);
  }
}

describe("the language of texts", () => {
  test("is right where it is what was wanted", async () => {
    const store = new FakeStore();
    await new TextLanguage(store, "english", never).check(never);
    expect(store.changes).toEqual([]);
  });

  test("is changed once, and is not right until that is over", async () => {
    const store = new FakeStore();
    const language = new TextLanguage(store, "german", never);
    for (let i = 0; i < 3; i++) {
      expect(await rejection(language.check(never))).toMatchObject({ name: "LanguageChangeError" });
    }
    expect(store.changes).toEqual(["german"]);
    store.finish("german");
    await language.settled();
    await language.check(never);
  });

  test("a change that fails is told, and tried again", async () => {
    const store = new FakeStore();
    const language = new TextLanguage(store, "german", never);
    await rejection(language.check(never));
    const failure = new Error("no connection");
    store.fail(failure);
    await language.settled();
    expect(await rejection(language.check(never))).toBe(failure);
    expect(await rejection(language.check(never))).toMatchObject({ name: "LanguageChangeError" });
    expect(store.changes).toHaveLength(2);
    store.finish("german");
    await language.settled();
    await language.check(never);
  });

  test("one that the database does not know is told with those that it knows", async () => {
    const store = new FakeStore();
    const error = await rejection(new TextLanguage(store, "klingon", never).check(never));
    expect(error).toMatchObject({ name: "UnknownLanguageError", facts: { language: "klingon" } });
    expect(String(error)).toContain("MAHAVISHNU_TEXT_LANGUAGE");
    expect(String(error)).toContain("english, german");
    expect(store.changes).toEqual([]);
  });
});
