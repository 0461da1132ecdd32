import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { StageClock } from "./stage-clock.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Work that takes so long by the clock, while others may be at work too. */
function working(clock: StageClock, stage: "embed" | "store") {
  const end = Promise.withResolvers<void>();
  const done = clock.time(stage, () => end.promise);
  return async () => {
    end.resolve();
    await done;
  };
}

describe("StageClock", () => {
  it("counts how long a part is at work, and who is side by side only once", async () => {
    const clock = new StageClock();
    expect(clock.slowest()).toBeUndefined();
    const first = working(clock, "embed");
    vi.advanceTimersByTime(100);
    const second = working(clock, "embed");
    vi.advanceTimersByTime(50);
    expect(clock.busyMs()).toEqual({ read: 0, split: 0, embed: 150, store: 0 });
    await first();
    await second();
    vi.advanceTimersByTime(1_000);
    clock.add("read", 7);
    expect(clock.busyMs()).toEqual({ read: 7, split: 0, embed: 150, store: 0 });
    expect(clock.slowest()).toBe("embed");
  });

  it("names the part that batches queue at, where reading has to wait for them", async () => {
    const clock = new StageClock();
    clock.beginReading();
    clock.add("split", 900);
    vi.advanceTimersByTime(100);
    clock.full(true);
    const ends = [working(clock, "store"), working(clock, "store"), working(clock, "embed")];
    vi.advanceTimersByTime(900);
    expect(clock.slowest()).toBe("store");
    for (const end of ends) await end();
    clock.endReading();
    expect(clock.slowest()).toBe("store");
  });

  it("names splitting where batches have to wait for it, however long they take", async () => {
    const clock = new StageClock();
    clock.beginReading();
    const end = working(clock, "store");
    vi.advanceTimersByTime(1_000);
    clock.add("split", 800);
    clock.add("read", 150);
    expect(clock.slowest()).toBe("split");
    await end();
    clock.endReading();
    expect(clock.slowest()).toBe("split");
  });
});
