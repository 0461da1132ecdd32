import { describe, expect, it } from "vitest";
import { DependencyUnavailableError, DomainError } from "../../shared/errors.ts";
import { BoundedTasks } from "./bounded-tasks.ts";
import { patiently } from "./patience.ts";

describe("patiently", () => {
  const overloaded = () => new DomainError("resource_exhausted", "OVERLOADED", "full");
  const never = new AbortController().signal;

  it("repeats what may pass", async () => {
    let calls = 0;
    const retried: number[] = [];
    const onRetry = (_: DomainError, pauseMs: number) => retried.push(pauseMs);
    const result = await patiently({ limitMs: 10_000, signal: never, onRetry }, async () => {
      if (++calls < 3) throw overloaded();
      return "done";
    });
    expect(result).toBe("done");
    expect(retried).toHaveLength(2);
  });

  it("throws at once what will not pass, and the last failure when its time is over", async () => {
    const final = new DomainError("failed_precondition", "MODEL_MISMATCH", "no");
    let calls = 0;
    const fail = (error: Error) => async () => {
      calls++;
      throw error;
    };
    await expect(patiently({ limitMs: 10_000, signal: never }, fail(final))).rejects.toBe(final);
    expect(calls).toBe(1);
    const down = new DependencyUnavailableError("embedding", "down");
    await expect(patiently({ limitMs: 0, signal: never }, fail(down))).rejects.toBe(down);
  });

  it("stops waiting when told to", async () => {
    const stop = new AbortController();
    const waiting = patiently({ limitMs: 60_000, signal: stop.signal }, async () => {
      queueMicrotask(() => stop.abort(new Error("stop")));
      throw new DomainError("unavailable", "DEPENDENCY_UNAVAILABLE", "down", {
        retryAfterMs: 30_000,
      });
    });
    await expect(waiting).rejects.toThrow("stop");
  });
});

describe("BoundedTasks", () => {
  it("runs at most so many at a time", async () => {
    const tasks = new BoundedTasks(3);
    let running = 0;
    let most = 0;
    for (let n = 0; n < 20; n++) {
      await tasks.add(async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
      });
    }
    await tasks.drain();
    expect(most).toBe(3);
    expect(running).toBe(0);
  });

  it("begins nothing after a failure and lets the rest end", async () => {
    const tasks = new BoundedTasks(2);
    let ended = false;
    await tasks.add(async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      ended = true;
    });
    await tasks.add(() => Promise.reject(new Error("broken")));
    await expect(tasks.add(async () => {})).rejects.toThrow("broken");
    await tasks.settle();
    expect(ended).toBe(true);
    await expect(tasks.drain()).rejects.toThrow("broken");
  });
});
