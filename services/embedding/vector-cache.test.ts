import { type Attributes, metrics } from "@opentelemetry/api";
import { describe, expect, it, vi } from "vitest";
import { VectorCache } from "./vector-cache.ts";

const vector = { vector: new Float32Array(768).fill(1), truncated: true };

describe("the cache of vectors", () => {
  it("keeps within its bytes and forgets what was not used for longest", () => {
    using cache = new VectorCache(10 * 3_500);
    const scope = cache.scope("model");
    for (let i = 0; i < 100; i++) {
      scope.set("document", `text ${i}`, vector);
      scope.get("document", "text 0");
    }
    expect(cache.bytes).toBeLessThanOrEqual(35_000);
    expect(cache.bytes).toBeGreaterThan(28_000);
    expect(scope.get("document", "text 0")).toEqual(vector);
    expect(scope.get("document", "text 50")).toBeUndefined();
    expect(scope.get("document", "text 99")?.truncated).toBe(true);
  });

  it("keeps models, their contents and tasks apart", () => {
    using cache = new VectorCache(100_000);
    const old = cache.scope("model");
    old.set("query", "a", vector);
    expect(old.get("document", "a")).toBeUndefined();
    expect(cache.scope("model").get("query", "a")).toBeUndefined();
    expect(old.get("query", "a")).toEqual(vector);
    old.forget();
    expect(old.get("query", "a")).toBeUndefined();
  });

  it("keeps nothing when it has no bytes, and no huge texts", () => {
    using none = new VectorCache(0);
    none.scope("model").set("query", "a", vector);
    expect(none.scope("model").get("query", "a")).toBeUndefined();
    using cache = new VectorCache(100_000);
    const scope = cache.scope("model");
    scope.set("query", "x".repeat(100_000), vector);
    expect(cache.bytes).toBe(0);
  });

  it("counts hits and misses by model", () => {
    const add = vi.fn<(value: number, attributes: Attributes) => void>();
    const gauge = { addCallback: () => {}, removeCallback: () => {} };
    const meter = { createCounter: () => ({ add }), createObservableGauge: () => gauge };
    const getMeter = vi.spyOn(metrics, "getMeter").mockReturnValue(meter as never);
    using cache = new VectorCache(100_000);
    getMeter.mockRestore();
    const scope = cache.scope("nomic-embed-text");
    scope.get("query", "a");
    scope.set("query", "a", vector);
    scope.get("query", "a");
    expect(add.mock.calls).toEqual([
      [1, { model: "nomic-embed-text", outcome: "miss" }],
      [1, { model: "nomic-embed-text", outcome: "hit" }],
    ]);
  });
});
