import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import type { Client } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createApp as createEmbedding } from "../../services/embedding/app.ts";
import { readEmbeddingConfig } from "../../services/embedding/config.ts";
import { createApp as createIngestion } from "../../services/ingestion/app.ts";
import { readIngestionConfig } from "../../services/ingestion/config.ts";
import { createApp as createVectorStore } from "../../services/vector-store/app.ts";
import { readConfig as readVectorStoreConfig } from "../../services/vector-store/config.ts";
import { Health, HealthCheckResponse_ServingStatus } from "../../shared/gen/health/v1/health_pb.js";
import {
  type IngestionProgress,
  IngestionStatus,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { IngestionService } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import type { App } from "../../shared/process.ts";
import { createClient, createGrpcTransport } from "../../shared/rpc/client.ts";
import { describeEachStore } from "../harness/postgres.ts";

const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
const sources = resolve(import.meta.dirname, "../../services/ingestion");

describeEachStore("ingestion with the real embedder and vector store", (_, database) => {
  const resources = new Resources();
  let embedding: App;
  let client: Client<typeof IngestionService>;
  let vectors: Client<typeof VectorStoreService>;
  let health: Client<typeof Health>;
  let folder: string;

  const logger = silentLogger();
  const startEmbedding = (port = "0") =>
    createEmbedding(
      readEmbeddingConfig({
        env: { MAHAVISHNU_EMBEDDING_PORT: port, MAHAVISHNU_EMBEDDING_PROVIDER: "builtin" },
        file: {},
      }),
      { logger },
    );

  beforeAll(async () => {
    const url = database().url;
    const open = (name: string, app: App) => resources.use(name, app).address;
    embedding = await startEmbedding();
    resources.defer("embedding", () => embedding[Symbol.asyncDispose]());
    const vectorStoreConfig = readVectorStoreConfig({
      env: { MAHAVISHNU_VECTOR_STORE_PORT: "0", MAHAVISHNU_PG_URL: url },
      file: {},
    });
    const vectorStore = open(
      "vector-store",
      await createVectorStore(vectorStoreConfig, { logger }),
    );
    const config = readIngestionConfig({
      env: {
        MAHAVISHNU_INGESTION_PORT: "0",
        MAHAVISHNU_PG_URL: url,
        MAHAVISHNU_EMBEDDING_ADDRESS: embedding.address,
        MAHAVISHNU_VECTOR_STORE_ADDRESS: vectorStore,
      },
      file: {},
    });
    const address = open(
      "ingestion",
      await createIngestion(config, { logger, readinessIntervalMs: 50 }),
    );
    const connect = (to: string) => {
      const transport = createGrpcTransport({ address: to });
      resources.defer("client", () => transport.close());
      return transport;
    };
    const transport = connect(address);
    client = createClient(IngestionService, transport);
    health = createClient(Health, transport);
    vectors = createClient(VectorStoreService, connect(vectorStore));
    folder = await mkdtemp(join(tmpdir(), "mahavishnu-ingest-"));
    resources.defer("folder", () => rm(folder, { recursive: true, force: true }));
    await cp(sources, folder, { recursive: true });
    await becomes(SERVING);
  }, 60_000);
  afterAll(() => resources[Symbol.asyncDispose]());

  async function becomes(wanted: HealthCheckResponse_ServingStatus): Promise<void> {
    for (let tries = 0; tries < 200; tries++) {
      const { status } = await health.check({ service: IngestionService.typeName });
      if (status === wanted) return;
      await sleep(50);
    }
    throw new Error(`never became ${wanted}`);
  }

  async function ingest(): Promise<IngestionProgress> {
    let last: IngestionProgress | undefined;
    for await (const { progress } of client.ingestRepository({ path: folder, repoId: "self" })) {
      last = progress;
    }
    if (last === undefined) throw new Error("no progress was told");
    return last;
  }

  async function storedCount(): Promise<bigint> {
    const condition = {
      field: "repo_id",
      test: {
        case: "equals" as const,
        value: { kind: { case: "stringValue" as const, value: "self" } },
      },
    };
    const filter = { node: { case: "condition" as const, value: condition } };
    return (await vectors.countDocuments({ filter })).count;
  }

  it("ingests real files and finds them by what they say", async () => {
    const files = (await readdir(folder, { recursive: true })).filter((name) =>
      /\.(ts|md)$/.test(name),
    );
    const first = await ingest();
    expect(first).toMatchObject({
      status: IngestionStatus.COMPLETED,
      filesTotal: BigInt(files.length),
      filesDone: BigInt(files.length),
      filesFailed: 0n,
    });
    expect(await storedCount()).toBe(first.chunksStored);
    const { passages } = await client.queryKnowledgeBase({
      query: "walks a folder and tells of every file once, symbolic links are never followed",
      repoId: "self",
    });
    expect(passages).toHaveLength(5);
    expect(passages.map(({ filePath }) => filePath)).toContain("repository-walk.ts");
    for (const { filePath, startLine, endLine, content, score } of passages) {
      const lines = (await readFile(join(folder, filePath), "utf8")).split("\n");
      expect(lines.slice(startLine - 1, endLine).join("\n")).toContain(content);
      expect(score).toBeGreaterThan(0);
    }
  });

  it("filters before it ranks", async () => {
    const ask = async (request: object) =>
      (await client.queryKnowledgeBase({ query: "ingestion", topK: 50, ...request })).passages;
    const markdown = await ask({ language: "markdown" });
    expect(new Set(markdown.map(({ filePath }) => filePath))).toEqual(new Set(["README.md"]));
    const prefixed = await ask({ pathPrefix: "ingestion" });
    expect(prefixed.length).toBeGreaterThan(3);
    expect(prefixed.every(({ filePath }) => basename(filePath).startsWith("ingestion"))).toBe(true);
    expect(await ask({ repoId: "nobody" })).toEqual([]);
  });

  it("stores nothing again, and follows what changes", async () => {
    const before = await storedCount();
    expect(await ingest()).toMatchObject({
      chunksStored: 0n,
      chunksUnchanged: before,
      chunksDeleted: 0n,
    });
    await writeFile(join(folder, "README.md"), "# Zymurgy\n\nThe art of fermentation.\n");
    await rm(join(folder, "metrics.ts"));
    const { chunksStored, chunksDeleted } = await ingest();
    expect(chunksStored).toBe(1n);
    expect(chunksDeleted).toBeGreaterThan(1n);
    expect(await storedCount()).toBe(before + chunksStored - chunksDeleted);
    const { passages } = await client.queryKnowledgeBase({ query: "zymurgy", topK: 1 });
    expect(passages).toMatchObject([
      { filePath: "README.md", startLine: 1, endLine: 3, language: "markdown" },
    ]);
  });

  it("answers by words and does not serve while the embedder is away, then serves again", async () => {
    const port = embedding.address.slice(embedding.address.lastIndexOf(":") + 1);
    await embedding[Symbol.asyncDispose]();
    await becomes(NOT_SERVING);
    const { passages } = await client.queryKnowledgeBase({ query: "zymurgy", topK: 1 });
    expect(passages).toMatchObject([{ filePath: "README.md" }]);
    embedding = await startEmbedding(port);
    await becomes(SERVING);
  });

  it("removes all of it", async () => {
    const before = await storedCount();
    expect((await client.deleteRepository({ repoId: "self" })).deletedChunks).toBe(before);
    expect(await storedCount()).toBe(0n);
    expect((await client.listIngestions({ repoId: "self" })).ingestions).toEqual([]);
  });
});
