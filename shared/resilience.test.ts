import { describe, expect, test } from "vitest";
import { sleep } from "./lifecycle.ts";
import { circuitBreaker, withRetries } from "./resilience.ts";

describe("withRetries", () => {
  const passing = new Error("passing");
  const transient = (error: unknown) => error === passing;
  const quick = { initialDelayMs: 1, maxDelayMs: 2 };
  /** Fails so many times, then resolves with the number of calls. */
  const failing = (times: number, error: unknown = passing) => {
    let calls = 0;
    const fn = async () => {
      calls += 1;
      if (calls <= times) throw error;
      return calls;
    };
    return { fn, calls: () => calls };
  };

  test("calls again until it works, and tells of each pause", async () => {
    const events: number[] = [];
    const { fn } = failing(2);
    const onRetry = ({
      attempt,
      delayMs,
      error,
    }: {
      attempt: number;
      delayMs: number;
      error: unknown;
    }) => {
      expect(delayMs).toBeLessThanOrEqual(2);
      expect(error).toBe(passing);
      events.push(attempt);
    };
    expect(await withRetries(transient, fn, { ...quick, onRetry })).toBe(3);
    expect(events).toEqual([1, 2]);
  });

  test("gives up after so many calls with the last error", async () => {
    const { fn, calls } = failing(9);
    await expect(withRetries(transient, fn, { ...quick, attempts: 3 })).rejects.toBe(passing);
    expect(calls()).toBe(3);
    const once = failing(9);
    await expect(withRetries(transient, once.fn, { attempts: 1 })).rejects.toBe(passing);
    expect(once.calls()).toBe(1);
  });

  test("does not repeat what is no passing failure", async () => {
    const { fn, calls } = failing(9, new Error("final"));
    await expect(withRetries(transient, fn, quick)).rejects.toThrow("final");
    expect(calls()).toBe(1);
  });

  test("ends its pause when the signal aborts, and calls no more", async () => {
    const stop = new AbortController();
    const { fn, calls } = failing(9);
    const onRetry = () => stop.abort(new Error("gone"));
    const running = withRetries(transient, fn, {
      initialDelayMs: 30,
      maxDelayMs: 30,
      signal: stop.signal,
      onRetry,
    });
    await expect(running).rejects.toThrow("gone");
    await sleep(60);
    expect(calls()).toBe(1);
    await expect(withRetries(transient, fn, { signal: stop.signal })).rejects.toThrow("gone");
    expect(calls()).toBe(1);
  });
});

describe("a circuit breaker", () => {
  const down = new Error("down");
  const fail = () => Promise.reject(down);

  test("opens after failures in a row, refuses, tries one call, and closes when it works", async () => {
    const states: string[] = [];
    const breaker = circuitBreaker({
      name: "peer",
      threshold: 2,
      halfOpenAfterMs: 20,
      onStateChange: (state) => states.push(state),
    });
    await expect(breaker.execute(fail)).rejects.toBe(down);
    expect(breaker.state).toBe("closed");
    await expect(breaker.execute(fail)).rejects.toBe(down);
    expect(breaker.state).toBe("open");
    await expect(breaker.execute(async () => 1)).rejects.toMatchObject({
      name: "DependencyUnavailableError",
      facts: { dependency: "peer" },
    });
    await sleep(40);
    expect(await breaker.execute(async () => 1)).toBe(1);
    expect(breaker.state).toBe("closed");
    expect(states).toEqual(["open", "half_open", "closed"]);
  });

  test("counts only what says that the dependency is down", async () => {
    const breaker = circuitBreaker({
      name: "peer",
      threshold: 1,
      halfOpenAfterMs: 1_000,
      isFailure: (error) => error === down,
    });
    await expect(breaker.execute(() => Promise.reject(new Error("mine")))).rejects.toThrow("mine");
    expect(breaker.state).toBe("closed");
    await expect(breaker.execute(fail)).rejects.toBe(down);
    expect(breaker.state).toBe("open");
  });
});
