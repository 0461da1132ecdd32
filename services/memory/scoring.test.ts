import { describe, expect, it } from "vitest";
import type { Hit } from "./ports.ts";
import {
  type Circumstances,
  neighbourWeight,
  poolSize,
  scoreHits,
  sessionTimeWeight,
  totalOf,
} from "./scoring.ts";

const now = Date.UTC(2026, 0, 1);
const hourMs = 3_600_000;
const hit = (id: string, score: number, more: Partial<Hit> = {}): Hit => ({
  id,
  content: id,
  score,
  vectorScore: undefined,
  textScore: score,
  memoryType: "agent",
  sourceSystem: "test",
  agentId: "",
  workflowId: "",
  repoId: "",
  metadata: {},
  createTime: BigInt(now) * 1_000n,
  ...more,
});
const score = (hits: readonly Hit[], more: Partial<Circumstances> = {}) =>
  scoreHits("postgresql", hits, {
    neighbours: new Map(),
    pool: 50,
    period: undefined,
    halfLifeMs: undefined,
    now,
    ...more,
  });

describe("a score", () => {
  it("is what the source said where nothing else counts", () => {
    const [both, words, meaning] = score([
      hit("a", 0.65, { vectorScore: 0.75, textScore: 0.5 }),
      hit("b", 0.5),
      hit("c", 0.25, { vectorScore: 0.25, textScore: undefined }),
    ]);
    expect(both).toMatchObject({ score: Math.fround(0.65), parts: { recency: 1 } });
    expect(both?.parts.vector).toBeCloseTo(0.45);
    expect(both?.parts.text).toBeCloseTo(0.2);
    expect(words).toMatchObject({ score: 0.5, parts: { vector: 0, text: 0.5 } });
    expect(meaning).toMatchObject({ score: 0.25, parts: { vector: 0.25, text: 0 } });
  });

  it("is its parts put together, to single precision, and at most 1", () => {
    const hits = [0.999, 0.7, 0.3, 0].map((value, index) =>
      hit(`h${index}`, value, { vectorScore: value, createTime: BigInt(now - index) * 1_000n }),
    );
    const neighbours = new Map(hits.map(({ id }) => [id, { before: "h0", after: "h1" }]));
    const period = { from: now - hourMs, to: now + hourMs };
    for (const one of score(hits, { neighbours, period, halfLifeMs: 5 })) {
      const { vector, text, neighbours: gain, sessionTime, recency } = one.parts;
      expect(one.score).toBe(Math.fround((vector + text + gain + sessionTime) * recency));
      expect(one.score).toBe(totalOf(one.parts));
      expect(one.score).toBeLessThanOrEqual(1);
    }
  });

  it("gains by the turns before and after, where those were found", () => {
    const hits = [hit("a", 0.8), hit("b", 0.5), hit("c", 0.4), hit("d", 0.2)];
    const neighbours = new Map([
      ["b", { before: "a", after: "c" }],
      ["c", { before: "b", after: "unknown" }],
      // Its own memory stands before it, and another on both sides.
      ["a", { before: "a", after: undefined }],
      ["d", { before: "b", after: "b" }],
    ]);
    const gains = score(hits, { neighbours }).map(({ parts }) => parts.neighbours);
    expect(gains).toEqual([
      0,
      0.5 * neighbourWeight * (0.8 + 0.4),
      0.6 * neighbourWeight * 0.5,
      0.8 * neighbourWeight * 0.5,
    ]);
  });

  it("of a hit does not change when more are asked for", () => {
    const hits = Array.from({ length: 80 }, (_, n) => hit(`h${n}`, 1 - n / 100));
    const neighbours = new Map(
      hits.map(({ id }, n) => [id, { before: `h${n - 1}`, after: `h${n + 1}` }]),
    );
    const pool = poolSize(10);
    const few = score(hits.slice(0, pool), { neighbours, pool });
    expect(score(hits, { neighbours, pool }).slice(0, pool)).toEqual(few);
  });

  it("gains where it is of the time that is named", () => {
    const period = { from: now - hourMs, to: now };
    const at = (ms: number) => hit("a", 0.5, { createTime: BigInt(ms) * 1_000n });
    const gain = (one: Hit) => score([one], { period })[0]?.parts.sessionTime;
    expect(gain(at(now - hourMs))).toBe(0.5 * sessionTimeWeight);
    expect(gain(at(now - 1))).toBe(0.5 * sessionTimeWeight);
    expect(gain(at(now))).toBe(0);
    expect(gain(at(now - hourMs - 1))).toBe(0);
    expect(gain(hit("a", 0.5, { createTime: undefined }))).toBe(0);
  });

  it("is halved by each half-life", () => {
    const aged = (ms: number) => hit("a", 0.8, { createTime: BigInt(now - ms) * 1_000n });
    const scoreOf = (one: Hit) => score([one], { halfLifeMs: hourMs })[0]?.score;
    expect(scoreOf(aged(0))).toBe(Math.fround(0.8));
    expect(scoreOf(aged(hourMs))).toBe(Math.fround(0.4));
    expect(scoreOf(aged(2 * hourMs))).toBe(Math.fround(0.2));
    expect(scoreOf(aged(-hourMs))).toBe(Math.fround(0.8));
    expect(scoreOf(hit("a", 0.8, { createTime: undefined }))).toBe(Math.fround(0.8));
  });

  it("does not fade with age while it is pinned", () => {
    const old = { createTime: BigInt(now - 2 * hourMs) * 1_000n };
    const partsOf = (metadata: Hit["metadata"]) =>
      score([hit("a", 0.8, { ...old, metadata })], { halfLifeMs: hourMs })[0];
    expect(partsOf({ pinned: true })).toMatchObject({
      score: Math.fround(0.8),
      parts: { recency: 1 },
    });
    expect(partsOf({ pinned: false })).toMatchObject({ score: Math.fround(0.2) });
  });
});
