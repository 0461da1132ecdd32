import { describe, expect, it } from "vitest";
import { englishStem } from "./english-stem.ts";

describe("englishStem", () => {
  it.each([
    ["embed", "embeds", "embedding", "embeddings", "embedded", "embedder"],
    ["migrate", "migrates", "migrated", "migrating", "migration", "migrations"],
    ["configure", "configured", "configuring", "configuration"],
    ["query", "queries", "querying"],
    ["index", "indexes", "indexed", "indexing"],
    ["stop", "stops", "stopped", "stopping"],
    ["save", "saves", "saved", "saving"],
    ["deploy", "deployment", "deployed", "deploys"],
  ])("folds the forms of %s", (...forms) => {
    expect(new Set(forms.map(englishStem)).size).toBe(1);
  });

  it.each([
    "string",
    "bring",
    "status",
    "class",
    "red",
    "speed",
    "nothing",
    "über",
    "v2",
    "analysis",
    "bus",
  ])("does not take %s for a form of another word", (word) => {
    expect(englishStem(word)).toBe(word);
  });
});
