import { Code, createClient } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus } from "../../shared/gen/health/v1/health_pb.js";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { silentLogger } from "../../shared/logging.ts";
import { migrate } from "../../shared/postgres/migrate.ts";
import { migrationsDirectory } from "../../shared/postgres/migration-files.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { vectorOf } from "../../test/conformance/document-store-samples.ts";
import { testDatabase } from "../../test/harness/postgres.ts";
import { readConfig } from "./config.ts";
import { start, until } from "./testing/running-store.ts";
import { document, model, refusal, ServiceSuite } from "./testing/service-suite.ts";

describe("vector-store", () => {
  const suite = new ServiceSuite();
  const { newTenant } = suite;

  test("describes its collections", async () => {
    const tenant = newTenant();
    await suite.client.upsertDocuments({ documents: [document("one")] }, tenant);
    const { collection } = await suite.client.getCollection({ name: "memories" }, tenant);
    expect(collection).toMatchObject({ name: "memories", dimension: 768, documentCount: 0n });
    const includeCount = true;
    const counted = await suite.client.getCollection({ name: "memories", includeCount }, tenant);
    expect(counted.collection?.documentCount).toBe(1n);
    expect(collection?.index).toBeUndefined();
    const { collections, nextPageToken } = await suite.client.listCollections({}, tenant);
    expect(collections).toMatchObject([{ name: "memories", documentCount: 0n }]);
    expect(nextPageToken).toBe("");
    const all = await suite.client.listCollections({ includeCount }, tenant);
    expect(all.collections).toMatchObject([{ name: "memories", documentCount: 1n }]);
    expect(await refusal(suite.client.getCollection({ name: "others" }))).toMatchObject({
      code: Code.NotFound,
      reason: "COLLECTION_NOT_FOUND",
      metadata: { collection: "others" },
    });
    expect(await refusal(suite.client.getCollection({ name: "Robert'); --" }))).toMatchObject({
      code: Code.InvalidArgument,
      fields: ["name"],
    });
    expect(await refusal(suite.client.listCollections({ pageSize: 1_001 }))).toMatchObject({
      fields: ["page_size"],
    });
  });

  test("tenants are apart, and a malformed one is refused", async () => {
    const [mine, theirs] = [newTenant(), newTenant()];
    await suite.client.upsertDocuments({ documents: [document("secret", { id: "a" })] }, mine);
    expect((await suite.client.getDocuments({ ids: ["a"] }, theirs)).documents).toEqual([]);
    expect((await suite.client.search({ text: "secret" }, theirs)).hits).toEqual([]);
    expect((await suite.client.deleteDocuments({ all: true }, theirs)).deletedCount).toBe(0n);
    expect((await suite.client.countDocuments({}, mine)).count).toBe(1n);
    const malformed = { headers: { "x-mahavishnu-tenant": "a'; drop table memories" } };
    expect(await refusal(suite.client.countDocuments({}, malformed))).toMatchObject({
      code: Code.InvalidArgument,
    });
  });

  test("a deadline that passes is DEADLINE_EXCEEDED", async () => {
    const documents = Array.from({ length: 500 }, (_, i) =>
      document(`text ${i}`, { vector: { values: vectorOf(i) } }),
    );
    const call = suite.client.upsertDocuments(
      { documents, model },
      { ...newTenant(), timeoutMs: 1 },
    );
    expect(await refusal(call)).toMatchObject({ code: Code.DeadlineExceeded });
  });
});

describe("vector-store, as a process", () => {
  test("serves once the schema is there, and not while the database is away", async () => {
    await using stack = new AsyncDisposableStack();
    const database = await testDatabase("pglite", { migrations: null });
    const app = stack.use(await start(database.url));
    const transport = stack.use(createGrpcTransport({ address: app.address }));
    const health = createClient(Health, transport);
    const { NOT_SERVING } = HealthCheckResponse_ServingStatus;
    expect((await health.check({ service: VectorStoreService.typeName })).status).toBe(NOT_SERVING);
    const options = { url: database.url, directory: migrationsDirectory, logger: silentLogger() };
    await migrate(options);
    await until(transport, true);
    await database.close();
    await until(transport, false);
    const client = createClient(VectorStoreService, transport);
    expect(await refusal(client.countDocuments({}))).toMatchObject({
      code: Code.Unavailable,
      reason: "DEPENDENCY_UNAVAILABLE",
    });
  });

  test("asks for the token where one is set", async () => {
    await using stack = new AsyncDisposableStack();
    const app = stack.use(
      await start("postgres://nobody@127.0.0.1:1/none", { MAHAVISHNU_AUTH_TOKEN: "secret" }),
    );
    const transport = stack.use(createGrpcTransport({ address: app.address }));
    const client = createClient(VectorStoreService, transport);
    expect(await refusal(client.countDocuments({}))).toMatchObject({ code: Code.Unauthenticated });
  });

  test("names every setting that is wrong", () => {
    const env = { MAHAVISHNU_VECTOR_STORE_PORT: "x", MAHAVISHNU_VECTOR_STORE_BULK_IN_FLIGHT: "0" };
    expect(() => readConfig({ env, file: {} })).toThrow(/PORT.*BULK_IN_FLIGHT/s);
  });
});
