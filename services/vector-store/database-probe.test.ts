import { expect, test } from "vitest";
import { untilAborted } from "../../shared/abortable.ts";
import { DependencyUnavailableError, DomainError } from "../../shared/errors.ts";
import { sleep } from "../../shared/lifecycle.ts";
import { DatabaseProbe } from "./database-probe.ts";
import { watchReadiness } from "./readiness.ts";

/** A pool in which a probe's turn never comes. */
function busyDatabase(failing?: Error) {
  return {
    answers: 0,
    ping: (signal: AbortSignal) =>
      failing ? Promise.reject(failing) : untilAborted(new Promise<void>(() => {}), signal),
  };
}

const overloaded = new DomainError("resource_exhausted", "OVERLOADED", "too many wait");

test.each([
  ["waits in vain", undefined],
  ["is turned away", overloaded],
])(
  "a probe that %s is no problem while others are answered, and is one after that",
  async (_, failing) => {
    const database = busyDatabase(failing);
    const stop = new AbortController();
    const told: (string | undefined)[] = [];
    const probe = new DatabaseProbe(database, 200);
    const watching = watchReadiness(
      {
        check: (signal) => probe.check(signal),
        changed: (problem) => told.push(problem?.name),
        intervalMs: 5,
        timeoutMs: 10,
      },
      stop.signal,
    );
    for (let i = 0; i < 50; i++) {
      database.answers += 1;
      await sleep(10);
    }
    expect(told).toEqual([undefined]);
    for (let i = 0; i < 200 && told.length < 2; i++) await sleep(10);
    expect(told).toHaveLength(2);
    expect(told[1]).toMatch(/Error/);
    database.answers += 1;
    for (let i = 0; i < 200 && told.length < 3; i++) await sleep(10);
    expect(told[2]).toBeUndefined();
    stop.abort();
    await watching;
  },
);

test("a database that cannot be reached is a problem at once, whatever it answered before", async () => {
  const gone = new DependencyUnavailableError("postgresql", "the database cannot be reached");
  const database = busyDatabase(gone);
  const probe = new DatabaseProbe(database, 60_000);
  database.answers += 1;
  await expect(probe.check(new AbortController().signal)).rejects.toBe(gone);
});
