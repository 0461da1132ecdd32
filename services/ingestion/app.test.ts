import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { Health, HealthCheckResponse_ServingStatus } from "../../shared/gen/health/v1/health_pb.js";
import type { IngestionStatus } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { IngestionService } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { silentLogger } from "../../shared/logging.ts";
import type { App } from "../../shared/process.ts";
import { createGrpcTransport, type GrpcTransport } from "../../shared/rpc/client.ts";
import { createApp } from "./app.ts";
import { readIngestionConfig } from "./config.ts";

/** Peers that serve and know nothing, and a database that is not there. */
const peers = createRouterTransport(({ service }) => {
  service(Health, { check: () => ({ status: HealthCheckResponse_ServingStatus.SERVING }) });
});

let app: App;
let transport: GrpcTransport;

beforeAll(async () => {
  const env = {
    MAHAVISHNU_INGESTION_PORT: "0",
    MAHAVISHNU_PG_URL: "postgres://nobody@127.0.0.1:1/nothing",
    MAHAVISHNU_INGESTION_ROOTS: import.meta.dirname,
  };
  app = await createApp(readIngestionConfig({ env, file: {} }), {
    logger: silentLogger(),
    embeddingTransport: peers,
    vectorStoreTransport: peers,
  });
  transport = createGrpcTransport({ address: app.address });
});
afterAll(async () => {
  transport.close();
  await app[Symbol.asyncDispose]();
});

async function failureOf(promise: Promise<unknown>): Promise<ConnectError> {
  const error = await promise.then(
    () => undefined,
    (one: unknown) => one,
  );
  if (!(error instanceof ConnectError))
    throw new Error("did not fail as expected", { cause: error });
  return error;
}

function fieldsOf(error: ConnectError): string[] {
  return error
    .findDetails(BadRequestSchema)
    .flatMap((bad) => bad.fieldViolations.map((v) => v.field));
}

describe("IngestionService", () => {
  const client = () => createClient(IngestionService, transport);
  const ingest = async (request: Parameters<ReturnType<typeof client>["ingestRepository"]>[0]) => {
    for await (const _ of client().ingestRepository(request)) {
      // Only how it ends counts.
    }
  };

  it("names every bad field of an ingestion at once", async () => {
    const error = await failureOf(
      ingest({
        path: "relative",
        repoId: "x".repeat(257),
        include: ["ok", " ", "a\nb"],
        exclude: Array.from({ length: 1_001 }, () => "a"),
        chunkSize: 8,
        chunkOverlap: -1,
      }),
    );
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.findDetails(ErrorInfoSchema)[0]?.reason).toBe("INVALID_FIELD");
    expect(fieldsOf(error)).toEqual([
      "path",
      "repo_id",
      "include[1]",
      "include[2]",
      "exclude",
      "chunk_size",
      "chunk_overlap",
    ]);
  });

  it.each([
    ["no path", { path: "" }, ["path"]],
    ["a path with NUL", { path: "/a\0b" }, ["path"]],
    [
      "an overlap above half of the size",
      { path: "/a", chunkSize: 64, chunkOverlap: 33 },
      ["chunk_overlap"],
    ],
  ])("refuses %s", async (_, request, fields) => {
    expect(fieldsOf(await failureOf(ingest(request)))).toEqual(fields);
  });

  it.each([
    ["outside the roots", "/etc", Code.PermissionDenied],
    ["led out of the roots by dots", `${import.meta.dirname}/../../..`, Code.PermissionDenied],
    ["a file", import.meta.filename, Code.InvalidArgument],
    ["absent", `${import.meta.dirname}/nothing`, Code.NotFound],
  ])("refuses a path that is %s", async (_, path, code) => {
    const error = await failureOf(ingest({ path }));
    expect(error.code).toBe(code);
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([
      { reason: "PATH_REFUSED", metadata: { path } },
    ]);
  });

  it("names every bad field of a question at once", async () => {
    const error = await failureOf(
      client().queryKnowledgeBase({
        query: "  ",
        repoId: "x".repeat(257),
        topK: 101,
        minScore: 2,
        pathPrefix: "a\0",
        language: "x".repeat(65),
      }),
    );
    expect(error.code).toBe(Code.InvalidArgument);
    expect(fieldsOf(error)).toEqual([
      "query",
      "repo_id",
      "path_prefix",
      "language",
      "top_k",
      "min_score",
    ]);
  });

  it("refuses what is missing or malformed elsewhere", async () => {
    const to = client();
    expect(fieldsOf(await failureOf(to.getIngestion({})))).toEqual(["ingestion_id"]);
    expect(fieldsOf(await failureOf(to.cancelIngestion({})))).toEqual(["ingestion_id"]);
    expect(fieldsOf(await failureOf(to.deleteRepository({})))).toEqual(["repo_id"]);
    const list = to.listIngestions({ pageSize: -1, pageToken: "?", status: 99 as IngestionStatus });
    expect(fieldsOf(await failureOf(list))).toEqual(["status", "page_size", "page_token"]);
  });

  it("does not serve without its database, and says so", async () => {
    const health = createClient(Health, transport);
    const { status } = await health.check({ service: IngestionService.typeName });
    expect(status).toBe(HealthCheckResponse_ServingStatus.NOT_SERVING);
    const error = await failureOf(client().getIngestion({ ingestionId: "x" }));
    expect(error.code).toBe(Code.Unavailable);
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([
      { reason: "DEPENDENCY_UNAVAILABLE", metadata: { dependency: "postgresql" } },
    ]);
  });
});
