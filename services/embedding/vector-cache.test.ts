import { describe, expect, it } from "vitest";
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
});
