import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import {
  type BulkUpsertRequest,
  BulkUpsertRequestSchema,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { drain, rejection } from "../../shared/rpc/testing/conditions.ts";
import { document, ServiceSuite } from "./testing/service-suite.ts";

function deep(levels: number): object {
  return levels === 0 ? {} : { a: deep(levels - 1) };
}

describe("vector-store", () => {
  const suite = new ServiceSuite();
  const { newTenant } = suite;

  test("a bulk stream is acknowledged to the last request, whatever some of them hold", async () => {
    const tenant = newTenant();
    async function* requests(): AsyncGenerator<BulkUpsertRequest> {
      for (let sequence = 0; sequence < 40; sequence++) {
        const documents = Array.from({ length: 10 }, (_, i) =>
          document(`text ${sequence} ${i}`, { id: `${sequence}-${i}` }),
        );
        if (sequence === 7) documents[3] = { content: "no type" };
        if (sequence === 8) documents[3] = document("nested", { metadata: deep(300) as never });
        yield create(BulkUpsertRequestSchema, {
          sequence: BigInt(sequence),
          collection: sequence === 20 ? "others" : sequence === 21 ? "memories" : "",
          documents: sequence === 30 ? [] : documents,
        });
      }
    }
    const { items, error } = await drain(suite.client.bulkUpsert(requests(), tenant));
    expect(error).toBeUndefined();
    const refused = items.filter((one) => one.error !== undefined);
    expect(refused.map((one) => one.sequence).sort()).toEqual([20n, 30n]);
    const of = (sequence: number) => items.find((one) => one.sequence === BigInt(sequence));
    expect(items).toHaveLength(40);
    expect(new Set(items.map((one) => one.sequence)).size).toBe(40);
    expect(of(20)).toMatchObject({ results: [], error: { field: "collection" } });
    expect(of(30)).toMatchObject({ results: [], error: { field: "documents" } });
    expect(of(7)?.results.map((one) => one.error === undefined)).toEqual(
      Array.from({ length: 10 }, (_, i) => i !== 3),
    );
    expect(of(8)?.results.map((one) => one.error?.field ?? "")).toEqual(
      Array.from({ length: 10 }, (_, i) => (i === 3 ? "documents[3].metadata" : "")),
    );
    expect((await suite.client.countDocuments({}, tenant)).count).toBe(378n);
    const { items: again } = await drain(suite.client.bulkUpsert(requests(), tenant));
    expect(again).toHaveLength(40);
    expect((await suite.client.countDocuments({}, tenant)).count).toBe(378n);
  });

  test("a cancelled bulk stream ends, and the server goes on", async () => {
    const tenant = newTenant();
    const stop = new AbortController();
    async function* endless(): AsyncGenerator<BulkUpsertRequest> {
      for (let sequence = 0n; ; sequence++) {
        const documents = [document(`text ${sequence}`)];
        yield create(BulkUpsertRequestSchema, { sequence, documents });
      }
    }
    let acknowledged = 0;
    const failed = await rejection(
      (async () => {
        const acks = suite.client.bulkUpsert(endless(), { ...tenant, signal: stop.signal });
        for await (const _ of acks) {
          acknowledged += 1;
          if (acknowledged === 5) stop.abort();
        }
      })(),
    );
    expect(ConnectError.from(failed).code).toBe(Code.Canceled);
    const { count } = await suite.client.countDocuments({}, tenant);
    expect(Number(count)).toBeGreaterThanOrEqual(5);
  });
});
