import { beforeEach, describe, expect, it } from "vitest";
import { Changes } from "./changes.ts";

describe("Changes", () => {
  let changes: Changes;

  beforeEach(() => {
    changes = new Changes();
  });

  /** A run for what has changed, at once. */
  function run(changedAnything: boolean, now: number): void {
    changes.ran(changes.take(), changedAnything, now);
  }

  it("are due once it is quiet, and not put off for ever", () => {
    expect(changes.dueAt()).toBeUndefined();
    changes.add("a", 1_000);
    expect(changes.dueAt()).toBe(1_400);
    changes.add("b", 1_300);
    expect(changes.dueAt()).toBe(1_700);
    for (let now = 1_400; now <= 10_000; now += 100) changes.add("a", now);
    expect(changes.dueAt()).toBe(6_000);
    expect([...changes.take()].sort()).toEqual(["a", "b"]);
    expect(changes.dueAt()).toBeUndefined();
  });

  it("that come while a run is under way are for the next one", () => {
    changes.add("a", 0);
    const taken = changes.take();
    changes.add("b", 500);
    changes.ran(taken, true, 1_000);
    expect([...changes.take()]).toEqual(["b"]);
  });

  it("come back where the run came to nothing", () => {
    changes.add("a", 0);
    const taken = changes.take();
    changes.add("b", 100);
    changes.putBack(taken, 200);
    expect([...changes.paths].sort()).toEqual(["a", "b"]);
  });

  it("of paths that bring nothing come more and more seldom, and hold up no others", () => {
    let now = 0;
    let last = 0;
    const pauses: number[] = [];
    for (let round = 0; round < 10; round++) {
      changes.add("noise", now);
      const due = changes.dueAt() ?? 0;
      pauses.push(due - last);
      now = last = due;
      run(false, now);
      now += 10;
    }
    expect(pauses.slice(1, 4)).toEqual([2_000, 4_000, 8_000]);
    expect(pauses.at(-1)).toBe(60_000);
    changes.add("noise", now);
    changes.add("real", now);
    expect(changes.dueAt()).toBe(now + 400);
    run(true, now);
    changes.add("noise", now);
    expect(changes.dueAt()).toBe(now + 400);
  });
});
