import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startedClient } from "../../services/vector-store/testing/running-store.ts";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import {
  type DocumentSchema,
  UpsertOutcome,
} from "../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import {
  type BulkUpsertRequest,
  BulkUpsertRequestSchema,
  type BulkUpsertResponse,
  type VectorStoreService,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { sleep } from "../../shared/lifecycle.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { vectorOf } from "../conformance/document-store-samples.ts";
import { describeEachStore } from "../harness/postgres.ts";

const model = "model-a";

function request(
  sequence: number,
  documents: MessageInitShape<typeof DocumentSchema>[],
): BulkUpsertRequest {
  return create(BulkUpsertRequestSchema, { sequence: BigInt(sequence), documents, model });
}

const document = (id: string, content = `content of ${id}`) => ({
  id,
  content,
  memoryType: MemoryType.RAG,
  sourceSystem: "test",
});

describeEachStore("bulk upsert over the wire", (kind, database) => {
  let stack: AsyncDisposableStack;
  let client: Client<typeof VectorStoreService>;
  let other: Postgres;
  let tenants = 0;
  const newTenant = () => `bulk-${++tenants}`;
  const headersOf = (tenant: string) => ({ "x-mahavishnu-tenant": tenant });

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    client = await startedClient(stack, database().url);
    other = database().open({ poolSize: 2 });
  });
  afterAll(() => stack.disposeAsync());

  async function stored(tenant: string): Promise<string[]> {
    const { rows } = await other.query<{ id: string }>(
      "select id from memories where tenant = $1 order by id",
      [tenant],
    );
    return rows.map((row) => row.id);
  }

  test("what is acknowledged is there for everybody, with an outcome for each document", async () => {
    const headers = headersOf(newTenant());
    const tenant = headers["x-mahavishnu-tenant"];
    const next = Promise.withResolvers<void>();
    async function* requests() {
      yield request(7, [document("a"), document("b"), { ...document("c"), content: "" }]);
      await next.promise;
      yield request(8, [document("a", "another content"), document("d", "content of b")]);
    }
    const answers: BulkUpsertResponse[] = [];
    for await (const answer of client.bulkUpsert(requests(), { headers })) {
      answers.push(answer);
      // Read by another connection before anything else is sent.
      if (answer.sequence === 7n) expect(await stored(tenant)).toEqual(["a", "b"]);
      next.resolve();
    }
    expect(answers.map((one) => one.sequence)).toEqual([7n, 8n]);
    expect(answers[0]?.results).toMatchObject([
      { id: "a", outcome: UpsertOutcome.CREATED },
      { id: "b", outcome: UpsertOutcome.CREATED },
      { id: "c", outcome: UpsertOutcome.UNSPECIFIED, error: { field: "documents[2].content" } },
    ]);
    expect(answers[1]?.results).toMatchObject([
      { id: "a", outcome: UpsertOutcome.UPDATED },
      { id: "b", outcome: UpsertOutcome.DEDUPLICATED },
    ]);
  });

  test("a broken stream goes on from what was not acknowledged, and a replay adds nothing", async () => {
    const tenant = newTenant();
    const headers = headersOf(tenant);
    const count = 12;
    const all = Array.from({ length: count }, (_, i) =>
      request(i, [document(`${i}-a`), document(`${i}-b`)]),
    );
    const acknowledged = new Set<bigint>();
    const stop = new AbortController();
    async function* endless() {
      yield* all;
      await new Promise(() => {});
    }
    try {
      for await (const { sequence } of client.bulkUpsert(endless(), {
        headers,
        signal: stop.signal,
      })) {
        acknowledged.add(sequence);
        if (acknowledged.size === 3) stop.abort();
      }
    } catch (error) {
      expect(ConnectError.from(error).code).toBe(Code.Canceled);
    }
    expect(acknowledged.size).toBeGreaterThanOrEqual(3);
    const there = new Set(await stored(tenant));
    for (const sequence of acknowledged) {
      expect(there.has(`${sequence}-a`) && there.has(`${sequence}-b`)).toBe(true);
    }
    // What is written in part is written whole: each request is one transaction.
    for (let i = 0; i < count; i++) expect(there.has(`${i}-a`)).toBe(there.has(`${i}-b`));

    const send = async (list: readonly BulkUpsertRequest[]) => {
      async function* requests() {
        yield* list;
      }
      const outcomes: UpsertOutcome[] = [];
      for await (const { sequence, results, error } of client.bulkUpsert(requests(), { headers })) {
        expect(error).toBeUndefined();
        acknowledged.add(sequence);
        outcomes.push(...results.map((one) => one.outcome));
      }
      return outcomes;
    };
    await send(all.filter((one) => !acknowledged.has(one.sequence)));
    expect(acknowledged.size).toBe(count);
    const whole = await stored(tenant);
    expect(whole).toHaveLength(2 * count);
    const again = await send(all);
    expect(again).toEqual(Array(2 * count).fill(UpsertOutcome.UPDATED));
    expect(await stored(tenant)).toEqual(whole);
  });

  test("a source that never pauses is held back while nothing can be written", {
    timeout: 120_000,
  }, async () => {
    const tenant = newTenant();
    const headers = headersOf(tenant);
    const count = 120;
    const vector = { values: vectorOf(1) };
    const documents = 40;
    let given = 0;
    async function* requests() {
      for (let i = 0; i < count; i++) {
        given += 1;
        const list = Array.from({ length: documents }, (_, at) => ({
          ...document(`${i}-${at}`),
          vector,
        }));
        yield request(i, list);
      }
    }
    let answered = 0;
    const writing = async () => {
      for await (const { results } of client.bulkUpsert(requests(), { headers })) {
        answered += results.length;
      }
    };
    const written = await other.transaction(async (tx) => {
      await tx.query("lock table memories in access exclusive mode");
      const running = writing();
      // It stands still once as much is on its way as may be.
      let last = -1;
      let still = 0;
      for (let tries = 0; tries < 600 && still < 20; tries++) {
        still = given === last && given > 0 ? still + 1 : 0;
        last = given;
        await sleep(25);
      }
      expect(answered).toBe(0);
      // 120 kB each: four that are written, those read ahead, and what HTTP/2 holds on both sides.
      expect(given).toBeLessThan(count / 2);
      return { running };
    });
    await written.running;
    expect(given).toBe(count);
    expect(answered).toBe(documents * count);
  });

  // What runs at the same time can be seen only where statements do.
  test.skipIf(kind === "pglite")(
    "several requests are written by several connections",
    async () => {
      const headers = headersOf(newTenant());
      async function* requests() {
        for (let i = 0; i < 8; i++) yield request(i, [document(`${i}`)]);
      }
      let most = 0;
      const acknowledged: bigint[] = [];
      const writing = async () => {
        for await (const { sequence } of client.bulkUpsert(requests(), { headers })) {
          acknowledged.push(sequence);
        }
      };
      const { running } = await other.transaction(async (tx) => {
        await tx.query("lock table memories in access exclusive mode");
        const begun = writing();
        for (let tries = 0; tries < 400 && most < 4; tries++) {
          const { rows } = await other.query<{ count: number }>(
            `select count(distinct pid)::int as count from pg_stat_activity
          where application_name = 'mahavishnu-vector-store' and state = 'active'
            and query like '%memories%' and datname = current_database()`,
          );
          most = Math.max(most, rows[0]?.count ?? 0);
          await sleep(25);
        }
        return { running: begun };
      });
      await running;
      expect(most).toBe(4);
      expect(acknowledged.toSorted()).toEqual([0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n]);
    },
  );
});
