import { beforeAll, expect, test } from "vitest";
import type { HealthSample, Status } from "../../services/health/component-health.ts";
import { readHistory } from "../../services/health/health-history.ts";
import {
  PostgresHealthHistoryStore,
  readDatabaseFacts,
} from "../../services/health/postgres-store.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";

const at = (second: number, ms = 0) => new Date(Date.UTC(2026, 0, 1, 0, 0, second, ms));

function sample(time: Date, name: string, status: Status = "healthy", message = ""): HealthSample {
  return { time, component: { name, status, message, latencyMs: 1.25, metadata: {} } };
}

describeEachStore("the history of health", (_kind, database) => {
  let postgres: Postgres;
  let store: PostgresHealthHistoryStore;

  beforeAll(() => {
    postgres = database().open({ poolSize: 2 });
    store = new PostgresHealthHistoryStore(postgres);
  });

  test("gives back what it was given, of any text", async () => {
    const kept: HealthSample = {
      time: at(1, 7),
      component: {
        name: "session-buddy",
        status: "degraded",
        message: `it's {"locked"}, \\ by 狐 'x'; drop table performance_metrics --`,
        latencyMs: 0.125,
        metadata: { file: '/tmp/"a,b}', queued_writes: 3, lexical: true },
      },
    };
    await store.add([kept]);
    expect(await store.list({ component: "session-buddy" }, 10, undefined)).toEqual([kept]);
  });

  test("the same sample twice is one, and the first stays", async () => {
    await store.add([sample(at(2), "twice", "healthy", "first"), sample(at(2), "twice")]);
    await store.add([sample(at(2), "twice", "unhealthy", "later")]);
    const found = await store.list({ component: "twice" }, 10, undefined);
    expect(found).toMatchObject([{ component: { status: "healthy", message: "first" } }]);
  });

  test("adding nothing is fine", async () => {
    await store.add([]);
  });

  test("lists newest first, equal times by component, between its bounds", async () => {
    const names = ["p-memory", "p-embedding", "p-ollama"];
    for (let second = 10; second < 16; second++) {
      await store.add(names.map((name) => sample(at(second), name)));
    }
    const filter = { start: at(11), end: at(15) };
    const seen: string[] = [];
    let after: Parameters<typeof store.list>[2];
    do {
      const page = await readHistory(store, { filter, pageSize: 5, after });
      seen.push(...page.samples.map((s) => `${s.time.getUTCSeconds()} ${s.component.name}`));
      after = page.next;
    } while (after !== undefined);
    const sorted = names.toSorted();
    expect(seen).toEqual(
      [14, 13, 12, 11].flatMap((second) => sorted.map((name) => `${second} ${name}`)),
    );
  });

  test("deletes what is older, to the millisecond", async () => {
    const old = (ms: number) => new Date(Date.UTC(2020, 0, 1, 0, 0, 0, ms));
    await store.add([sample(old(0), "old"), sample(old(1), "old"), sample(old(2), "old")]);
    expect(await store.deleteBefore(old(1))).toBe(1);
    const left = await store.list({ component: "old" }, 10, undefined);
    expect(left.map(({ time }) => time)).toEqual([old(2), old(1)]);
  });

  test("refuses a status that is none", async () => {
    await expect(store.add([sample(at(3), "bad", "fine" as Status)])).rejects.toThrow();
  });

  test("the database tells what it is", async () => {
    const facts = await readDatabaseFacts(postgres);
    expect(facts.serverVersion).toMatch(/^\d+\.\d+$/);
    expect(facts.vectorVersion).toMatch(/^0\.\d+\.\d+$/);
    expect(facts.schema).toMatchObject({ upToDate: true });
    expect(facts.sizeBytes).toBeGreaterThan(1_000_000);
  });
});
