import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { contentHash } from "../../shared/hash.ts";
import { BuiltinEmbedder, builtinModel } from "./builtin-embedder.ts";
import { type EmbeddingOutcome, isEmbedded } from "./embedder.ts";

const embedder = new BuiltinEmbedder();

async function vectorOf(text: string): Promise<Float32Array> {
  const [outcome] = await embedder.embed([text], "document");
  return vector(outcome);
}

function vector(outcome: EmbeddingOutcome | undefined): Float32Array {
  if (outcome === undefined || !isEmbedded(outcome)) throw new Error("not embedded");
  return outcome.vector;
}

async function similarity(a: string, b: string): Promise<number> {
  const [one, other] = [await vectorOf(a), await vectorOf(b)];
  return one.reduce((sum, value, i) => sum + value * (other[i] ?? 0), 0);
}

/** A short digest of a vector's components, rounded to four digits. */
function digest(values: Float32Array): string {
  return contentHash(values.map((value) => Math.round(value * 10_000)).join(" ")).slice(0, 16);
}

const golden = [
  ["a", "68509fd9f308114a"],
  ["Embedding", "37ea86746d10ae76"],
  ["getUserName retries migrations twice", "5d691d3407b5dac1"],
  ["日本の地図", "e0f13d64fb04e26e"],
  ["🚀", "d20e8acc845fbd7d"],
  ["Café au lait, STRASSE, ΟΔΟΣ", "5999c4d615e84311"],
  ["--", "892a4d85cfed2be7"],
  ["lorem ipsum ".repeat(2_000), "972964ffe4048314"],
] as const;

describe("the built-in embedder", () => {
  it("gives the vectors that are stored already", async () => {
    expect(builtinModel.name).toBe("mahavishnu-lexical-v1");
    for (const [text, expected] of golden) {
      // A difference makes every stored vector worthless: change the model's name instead.
      expect(digest(await vectorOf(text)), text).toBe(expected);
    }
  });

  it("gives every text a vector of length 1, whatever it is made of", async () => {
    const odd = [
      "🎉",
      "🎉🎉",
      "!?",
      "_",
      "\u200b",
      "\ud800",
      "İ",
      "ﬁ",
      "e\u0301",
      "가",
      "a".repeat(9_000),
      "\0",
    ];
    for (const text of odd) {
      const values = await vectorOf(text);
      expect(values).toHaveLength(768);
      expect(Math.hypot(...values), JSON.stringify(text)).toBeCloseTo(1, 5);
    }
    const texts = fc.string({ unit: "binary", minLength: 1, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        fc.pre(text.trim() !== "");
        expect(Math.hypot(...(await vectorOf(text)))).toBeCloseTo(1, 5);
      }),
    );
  });

  it.each([
    ["case", "Vector Search", "vector search"],
    ["accents", "résumé café", "resume cafe"],
    ["normal forms", "Zu\u0308rich", "Zürich"],
    ["full-width letters", "ＡＢＣ corporation", "ABC corporation"],
    ["sharp s", "STRASSE", "straße"],
    ["final sigma", "ΟΔΟΣ", "οδος"],
    ["plain forms of a word", "embedding migrations", "embedded migrated"],
  ])("does not mind %s", async (_, a, b) => {
    expect(await similarity(a, b)).toBeGreaterThan(0.95);
  });

  it("finds names however they are spelt", async () => {
    const other = await similarity("getUserName", "a sentence about something else");
    for (const spelling of ["get user name", "get_user_name", "GET_USER_NAME", "getusername"]) {
      expect(await similarity("getUserName", spelling)).toBeGreaterThan(other + 0.15);
    }
  });

  it("finds a word that is misspelt, and part of a text that has no spaces", async () => {
    expect(await similarity("approximate", "aproximate")).toBeGreaterThan(0.2);
    expect(await similarity("機械学習のモデル", "機械学習")).toBeGreaterThan(0.5);
    expect(await similarity("ฐานข้อมูลเวกเตอร์", "ฐานข้อมูล")).toBeGreaterThan(0.4);
  });

  it("gives little weight to words that are in every text", async () => {
    expect(await similarity("the of and is", "what is the migration")).toBeLessThan(
      await similarity("migration plan", "what is the migration"),
    );
  });

  it("grows with the logarithm of a word's count", async () => {
    const repeated = `${"apple ".repeat(100)}pear`;
    expect(await similarity(repeated, "pear")).toBeGreaterThan(0.1);
  });

  it("lets others run during long work, and stops when told to", async () => {
    const words = Array.from({ length: 180_000 }, (_, i) => `w${i.toString(36)}`).join(" ");
    const mega = words.slice(0, 1024 * 1024);
    const stop = new AbortController();
    let longest = 0;
    let last = performance.now();
    const beat = setInterval(() => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
    }, 1);
    let ticks = 0;
    const count = setInterval(() => {
      if (++ticks === 20) stop.abort(new Error("enough"));
    }, 1);
    const both = [
      embedder.embed(Array(200).fill(mega), "document", stop.signal),
      embedder.embed(Array(200).fill(mega), "document", stop.signal),
    ];
    await expect(Promise.all(both)).rejects.toThrow("enough");
    clearInterval(beat);
    clearInterval(count);
    expect(ticks).toBeGreaterThanOrEqual(20);
    // Ample for a busy machine; held up, it would be the 200 texts, many seconds.
    expect(longest).toBeLessThan(1_000);
  });

  it("answers a question while a long computation goes on", async () => {
    const stop = new AbortController();
    const long = embedder.embed(
      Array(500).fill("lorem ipsum ".repeat(50_000)),
      "document",
      stop.signal,
    );
    long.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 5));
    const [outcome] = await embedder.embed(["a question"], "query");
    expect(vector(outcome)).toHaveLength(768);
    stop.abort(new Error("over"));
    await expect(long).rejects.toThrow("over");
  });
});
