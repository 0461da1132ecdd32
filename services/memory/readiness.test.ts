import { describe, expect, it } from "vitest";
import { Readiness } from "./readiness.ts";
import { eventually } from "./testing/running-service.ts";

describe("a requirement that was not met at the last look", () => {
  it("is looked at once more, once for all who ask, before anybody is refused", async () => {
    let up = false;
    let looks = 0;
    const told: (readonly string[])[] = [];
    await using readiness = new Readiness({
      requirements: [
        {
          name: "store",
          async check() {
            looks += 1;
            if (!up) throw new Error("away");
          },
        },
      ],
      intervalMs: 600_000,
      timeoutMs: 1_000,
      changed: (problems) => told.push(problems),
    });
    await eventually(() => told.length === 1);
    expect(readiness.complete).toBe(false);
    expect(await readiness.holds("store")).toBe(false);
    up = true;
    expect(await Promise.all([readiness.holds("store"), readiness.holds("store")])).toEqual([
      true,
      true,
    ]);
    expect(looks).toBe(3);
    expect(readiness.complete).toBe(true);
    expect(told).toEqual([["store: away"], []]);
    await readiness.holds("store");
    expect(looks).toBe(3);
  });
});
