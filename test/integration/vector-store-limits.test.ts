import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startedClient } from "../../services/vector-store/testing/running-store.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import type { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { sleep } from "../../shared/lifecycle.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { drain, rejection } from "../../shared/rpc/testing/conditions.ts";
import { vectorOf } from "../conformance/document-store-samples.ts";
import { describeEachStore } from "../harness/postgres.ts";

const model = "model-a";
const application = "mahavishnu-vector-store";
type StoreClient = Client<typeof VectorStoreService>;

const document = (content: string) => ({
  content,
  memoryType: MemoryType.RAG,
  sourceSystem: "test",
});

describeEachStore("limits of the vector store", (kind, database) => {
  let stack: AsyncDisposableStack;
  let client: StoreClient;
  /** Few connections, and few callers who may wait. */
  let narrow: StoreClient;
  let observer: Postgres;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    client = await start({});
    narrow = await start({
      // One connection for each process of the platform.
      MAHAVISHNU_PG_POOL_SIZE: "6",
      MAHAVISHNU_PG_MAX_OVERFLOW: "0",
      MAHAVISHNU_VECTOR_STORE_MAX_WAITING: "5",
    });
    observer = database().open({ poolSize: 2 });
    const documents = Array.from({ length: 30 }, (_, i) => ({
      ...document(`zebra ${i}`),
      vector: { values: vectorOf(i) },
    }));
    await client.upsertDocuments({ documents, model });
  });
  afterAll(() => stack.disposeAsync());

  const start = (env: Record<string, string>) => startedClient(stack, database().url, env);

  /** Nobody reads or writes memories while `during` runs. */
  async function locked<T>(during: () => Promise<T>): Promise<T> {
    return await observer.transaction(async (tx) => {
      await tx.query("lock table memories in access exclusive mode");
      return await during();
    });
  }

  /** Statements of the service on memories that the server works on, or that wait there. */
  async function active(): Promise<number> {
    const { rows } = await observer.query<{ count: number }>(
      `select count(*)::int as count from pg_stat_activity
      where application_name = $1 and state = 'active' and query like '%memories%'
        and datname = current_database()`,
      [application],
    );
    return rows[0]?.count ?? -1;
  }

  async function comesTo(wanted: (count: number) => boolean): Promise<boolean> {
    for (let tries = 0; tries < 400; tries++) {
      if (wanted(await active())) return true;
      await sleep(25);
    }
    return false;
  }

  test("a thousand callers at once all get their answer, by no more than the pool's share", {
    timeout: 120_000,
  }, async () => {
    const callers = 1_000;
    let most = 0;
    let watching = true;
    const watcher = (async () => {
      while (watching && kind === "postgres") {
        const { rows } = await observer.query<{ count: number }>(
          `select count(*)::int as count from pg_stat_activity
          where application_name = $1 and datname = current_database()`,
          [application],
        );
        most = Math.max(most, rows[0]?.count ?? 0);
        await sleep(20);
      }
    })();
    const values = vectorOf(7);
    const answers = await Promise.allSettled(
      Array.from({ length: callers }, (_, i) =>
        client.search(i % 2 === 0 ? { vector: { values }, limit: 3 } : { text: "zebra", limit: 3 }),
      ),
    );
    watching = false;
    await watcher;
    expect(answers.filter((one) => one.status === "rejected")).toEqual([]);
    for (const one of answers) {
      if (one.status === "fulfilled") expect(one.value.hits).toHaveLength(3);
    }
    // 20 of the platform's 50, and the one connection of the narrow service.
    expect(most).toBeLessThanOrEqual(21);
  });

  test("too many callers are refused at once with RetryInfo, the others are answered", async () => {
    const callers = 40;
    const outcomes: ("answered" | ConnectError)[] = [];
    const calls = await locked(async () => {
      const all = Array.from({ length: callers }, () =>
        narrow.search({ text: "zebra" }).then(
          () => outcomes.push("answered"),
          (error) => outcomes.push(ConnectError.from(error)),
        ),
      );
      // One has the connection, five wait for it; a look at the database's health may be one more.
      for (let tries = 0; tries < 400 && outcomes.length < callers - 6; tries++) await sleep(25);
      expect(outcomes.length).toBeGreaterThanOrEqual(callers - 6);
      return all;
    });
    await Promise.all(calls);
    expect(outcomes).toHaveLength(callers);
    const refused = outcomes.filter((one) => one !== "answered");
    expect(refused.length).toBeGreaterThanOrEqual(callers - 6);
    expect(refused.length).toBeLessThan(callers);
    for (const error of refused) {
      expect(error.code).toBe(Code.ResourceExhausted);
      expect(error.findDetails(ErrorInfoSchema)[0]?.reason).toBe("OVERLOADED");
      expect(error.findDetails(RetryInfoSchema)[0]?.retryDelay).toBeDefined();
    }
    expect((await narrow.search({ text: "zebra" })).hits).toHaveLength(10);
  });

  // PGlite runs one statement at a time and cannot be asked what it does meanwhile.
  test.skipIf(kind === "pglite")("what a caller cancels ends in the database too", async () => {
    const search = { text: "zebra" };
    const searches = [search, { vector: { values: vectorOf(1) } }, search, search];
    const requests = async function* () {
      for (let sequence = 0n; sequence < 4n; sequence++) {
        yield { sequence, documents: [document(`cancelled ${sequence}`)] };
      }
      await new Promise(() => {});
    };
    const calls: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
      search: (signal) => client.search(search, { signal }),
      batchSearch: (signal) => client.batchSearch({ searches }, { signal }),
      upsertDocuments: (signal) =>
        client.upsertDocuments({ documents: [document("cancelled")] }, { signal }),
      bulkUpsert: async (signal) => {
        const { error } = await drain(client.bulkUpsert(requests(), { signal }));
        throw error;
      },
    };
    for (const [name, call] of Object.entries(calls)) {
      await locked(async () => {
        const stop = new AbortController();
        const ended = rejection(call(stop.signal));
        expect(await comesTo((count) => count > 0), `${name} runs`).toBe(true);
        stop.abort();
        expect(ConnectError.from(await ended).code, name).toBe(Code.Canceled);
        // The table is still locked: only what was cancelled can have ended.
        expect(await comesTo((count) => count === 0), `${name} is cancelled`).toBe(true);
      });
    }
    await locked(async () => {
      const late = await rejection(client.search(search, { timeoutMs: 300 }));
      expect(ConnectError.from(late).code).toBe(Code.DeadlineExceeded);
      expect(await comesTo((count) => count === 0), "a deadline passes").toBe(true);
    });
    expect((await client.countDocuments({})).count).toBe(30n);
  });

  test.skipIf(kind === "pglite")("a statement that takes too long is ended", async () => {
    const slow = await start({ MAHAVISHNU_PG_STATEMENT_TIMEOUT_MS: "200" });
    await locked(async () => {
      const error = ConnectError.from(await rejection(slow.search({ text: "zebra" })));
      expect(error.code).toBe(Code.DeadlineExceeded);
      expect(await comesTo((count) => count === 0)).toBe(true);
    });
  });
});
