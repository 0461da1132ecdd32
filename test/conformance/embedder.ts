import { describe, expect, it } from "vitest";
import {
  type Embedder,
  type EmbeddingOutcome,
  isEmbedded,
} from "../../services/embedding/embedder.ts";

/** An embedder under examination; disposing ends what it needs. */
export interface EmbedderCandidate extends AsyncDisposable {
  readonly embedder: Embedder;
}

const odd = [
  "a",
  "ordinary words in a sentence.",
  "🎉🎉",
  "!?…",
  "\u200b",
  "日本語のテキスト",
  "العربية",
  "e\u0301 and é",
  "\u0000 and \u0007",
  "line\nbreaks\r\nand\ttabs",
  "x".repeat(20_000),
  "word ".repeat(30_000),
];

/** Every promise of the interface is a case, and every embedder sits the same exam. */
export function examineEmbedder(name: string, open: () => Promise<EmbedderCandidate>): void {
  describe(`embedder: ${name}`, () => {
    it("says what its model is", async () => {
      await using candidate = await open();
      const { model, batchShape } = candidate.embedder;
      expect(model.name).not.toBe("");
      expect(model.dimension).toBeGreaterThan(0);
      expect(batchShape.texts).toBeGreaterThan(0);
      expect(batchShape.concurrency).toBeGreaterThan(0);
    });

    it("gives no outcomes for no texts", async () => {
      await using candidate = await open();
      expect(await candidate.embedder.embed([], "document")).toEqual([]);
    });

    it("gives any text a finite vector of the model's dimension and of length 1", async () => {
      await using candidate = await open();
      const { embedder } = candidate;
      for (const [i, vector] of vectors(await embedder.embed(odd, "document")).entries()) {
        expect(vector).toHaveLength(embedder.model.dimension);
        expect(vector.every(Number.isFinite)).toBe(true);
        expect(Math.hypot(...vector), odd[i]?.slice(0, 40)).toBeCloseTo(1, 4);
      }
    });

    it("keeps the order of many texts, and gives a text the same vector in any company", async () => {
      await using candidate = await open();
      const { embedder } = candidate;
      const texts = Array.from({ length: 150 }, (_, i) => `passage ${i} about subject ${i * 7}`);
      const together = vectors(await embedder.embed(texts, "document"));
      expect(together).toHaveLength(texts.length);
      for (const i of [0, 1, 31, 32, 77, 149]) {
        const [alone] = vectors(await embedder.embed([texts[i] ?? ""], "document"));
        expectClose(together[i], alone);
      }
      const backwards = vectors(await embedder.embed(texts.toReversed(), "document"));
      for (const [i, vector] of together.entries()) expectClose(vector, backwards.at(-1 - i));
    });

    it("gives the same vectors in calls that overlap", async () => {
      await using candidate = await open();
      const { embedder } = candidate;
      const lists = Array.from({ length: 12 }, (_, i) => [`first of ${i}`, `second of ${i}`]);
      const overlapping = await Promise.all(lists.map((list) => embedder.embed(list, "query")));
      for (const [i, list] of lists.entries()) {
        const alone = vectors(await embedder.embed(list, "query"));
        for (const [j, vector] of vectors(overlapping[i] ?? []).entries()) {
          expectClose(vector, alone[j]);
        }
      }
    });

    it("puts texts that share words nearer than texts that do not", async () => {
      await using candidate = await open();
      const texts = [
        "retry the failed request",
        "the request failed, retry it",
        "blue mountain lakes",
      ];
      const [a, b, c] = vectors(await candidate.embedder.embed(texts, "document"));
      expect(similarity(a, b)).toBeGreaterThan(similarity(a, c) + 0.1);
    });

    it("rejects with the reason of an abort, before and during the work", async () => {
      await using candidate = await open();
      const { embedder } = candidate;
      const before = AbortSignal.abort(new Error("too late"));
      await expect(embedder.embed(["a"], "document", before)).rejects.toThrow("too late");
      const during = new AbortController();
      const texts = Array.from({ length: 300 }, (_, i) => `${i} ${"word ".repeat(20_000)}`);
      const work = embedder.embed(texts, "document", during.signal);
      setTimeout(() => during.abort(new Error("changed my mind")), 5);
      await expect(work).rejects.toThrow("changed my mind");
      expect(vectors(await embedder.embed(["still works"], "document"))).toHaveLength(1);
    });

    it("leaves the event loop free", async () => {
      await using candidate = await open();
      let beats = 0;
      const heart = setInterval(() => beats++, 1);
      const texts = Array.from({ length: 40 }, (_, i) => `w${i} `.repeat(50_000));
      await candidate.embedder.embed(texts, "document");
      clearInterval(heart);
      expect(beats).toBeGreaterThan(2);
    });
  });
}

function vectors(outcomes: readonly EmbeddingOutcome[]): Float32Array[] {
  return outcomes.map((outcome) => {
    if (isEmbedded(outcome)) return outcome.vector;
    throw outcome.error;
  });
}

function similarity(a: Float32Array | undefined, b: Float32Array | undefined): number {
  return (a ?? new Float32Array()).reduce((sum, value, i) => sum + value * (b?.[i] ?? 0), 0);
}

function expectClose(a: Float32Array | undefined, b: Float32Array | undefined): void {
  expect(similarity(a, b)).toBeGreaterThan(0.99999);
}
