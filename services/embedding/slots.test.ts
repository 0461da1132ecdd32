import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Slots } from "./slots.ts";

describe("Slots", () => {
  it("bounds what runs at once and lets the urgent ones go first", async () => {
    const slots = new Slots(2);
    const order: string[] = [];
    let running = 0;
    let most = 0;
    const work = (name: string) => async () => {
      most = Math.max(most, ++running);
      order.push(name);
      await wait(5);
      running--;
    };
    await Promise.all([
      slots.run(work("a")),
      slots.run(work("b")),
      slots.run(work("c")),
      slots.run(work("d")),
      slots.run(work("query"), { urgent: true }),
    ]);
    expect(most).toBe(2);
    expect(order).toEqual(["a", "b", "query", "c", "d"]);
  });

  it("frees its slot when the work fails", async () => {
    const slots = new Slots(1);
    await expect(slots.run(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    await expect(slots.run(async () => "next")).resolves.toBe("next");
  });

  it("forgets who has gone while waiting", async () => {
    const slots = new Slots(1);
    const gate = Promise.withResolvers<void>();
    const first = slots.run(() => gate.promise);
    const gone = new AbortController();
    const second = slots.run(async () => "never", { signal: gone.signal });
    expect(slots.waiting).toBe(1);
    gone.abort(new Error("gone"));
    await expect(second).rejects.toThrow("gone");
    await expect(slots.run(async () => "never", { signal: gone.signal })).rejects.toThrow("gone");
    expect(slots.waiting).toBe(0);
    gate.resolve();
    await first;
    await expect(slots.run(async () => "free")).resolves.toBe("free");
  });
});
