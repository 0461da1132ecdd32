import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createApp as createEmbedding } from "../../services/embedding/app.ts";
import { readEmbeddingConfig } from "../../services/embedding/config.ts";
import { createApp as createVectorStore } from "../../services/vector-store/app.ts";
import { readConfig as readVectorStoreConfig } from "../../services/vector-store/config.ts";
import {
  type IngestionProgress,
  IngestionStatus,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { IngestionProcess } from "../harness/ingestion-process.ts";
import { describeEachStore } from "../harness/postgres.ts";

const parts = 240;
const versions = 12;
const readers = 3;

describeEachStore("readers of a file that is replaced", (_, database) => {
  const resources = new Resources();
  let ingestion: IngestionProcess;
  let vectors: Client<typeof VectorStoreService>;
  let folder: string;

  beforeAll(async () => {
    const logger = silentLogger();
    const url = database().url;
    const embedding = resources.use(
      "embedding",
      await createEmbedding(
        readEmbeddingConfig({
          env: { MAHAVISHNU_EMBEDDING_PORT: "0", MAHAVISHNU_EMBEDDING_PROVIDER: "builtin" },
          file: {},
        }),
        { logger },
      ),
    );
    const vectorStore = resources.use(
      "vector store",
      await createVectorStore(
        readVectorStoreConfig({
          env: { MAHAVISHNU_VECTOR_STORE_PORT: "0", MAHAVISHNU_PG_URL: url },
          file: {},
        }),
        { logger },
      ),
    );
    ingestion = resources.use(
      "ingestion",
      await IngestionProcess.start({
        MAHAVISHNU_PG_URL: url,
        MAHAVISHNU_EMBEDDING_ADDRESS: embedding.address,
        MAHAVISHNU_VECTOR_STORE_ADDRESS: vectorStore.address,
      }),
    );
    const transport = createGrpcTransport({ address: vectorStore.address });
    resources.defer("client", () => transport.close());
    vectors = createClient(VectorStoreService, transport);
    folder = await realpath(await mkdtemp(join(tmpdir(), "mahavishnu-readers-")));
    resources.defer("folder", () => rm(folder, { recursive: true, force: true }));
  }, 60_000);
  afterAll(() => resources[Symbol.asyncDispose]());

  /** A file of which every chunk names its version, and small ones that share its batch. */
  async function plant(version: number): Promise<void> {
    const texts = Array.from(
      { length: parts },
      (_, part) =>
        `# Part ${part}\n\n${`Words of version${version} in part ${part}. `.repeat(6)}\n`,
    );
    await writeFile(join(folder, "large.md"), texts.join("\n"));
    await writeFile(join(folder, "small.md"), `# Small\n\nOf version${version}, too.\n`);
  }

  async function ingest(): Promise<IngestionProgress | undefined> {
    const request = { path: folder, repoId: "read", chunkSize: 80, chunkOverlap: 0 };
    let last: IngestionProgress | undefined;
    for await (const { progress } of ingestion.client.ingestRepository(request)) last = progress;
    return last;
  }

  /** Which versions are seen at once, and how many chunks. */
  async function look(): Promise<{ readonly seen: string[]; readonly chunks: number }> {
    const condition = {
      field: "metadata.file_path",
      test: {
        case: "equals" as const,
        value: { kind: { case: "stringValue" as const, value: "large.md" } },
      },
    };
    const filter = { node: { case: "condition" as const, value: condition } };
    const { documents } = await vectors.listDocuments({ filter, pageSize: 1_000 });
    return { seen: versionsIn(documents), chunks: documents.length };
  }

  async function ask(version: number): Promise<string[]> {
    const query = `Words of version${version}`;
    const { passages } = await ingestion.client.queryKnowledgeBase({
      query,
      repoId: "read",
      pathPrefix: "large.md",
      topK: 20,
    });
    return versionsIn(passages);
  }

  it("see the old chunks or the new ones, never a mix and never none", async () => {
    await plant(0);
    const first = await ingest();
    expect(first).toMatchObject({ status: IngestionStatus.COMPLETED, filesFailed: 0n });
    const { chunks } = await look();
    expect(chunks).toBeGreaterThanOrEqual(parts);
    const wrong: unknown[] = [];
    const seen = new Set<string>();
    let looks = 0;
    let version = 0;
    let over = false;
    const read = async () => {
      while (!over) {
        const found = await look();
        looks++;
        for (const one of found.seen) seen.add(one);
        if (found.seen.length !== 1 || found.chunks !== chunks) wrong.push(found);
        const answered = await ask(version);
        if (answered.length === 0) wrong.push("no answer");
      }
    };
    const reading = Promise.all(Array.from({ length: readers }, read));
    try {
      while (version < versions) {
        version++;
        await plant(version);
        expect(await ingest()).toMatchObject({
          status: IngestionStatus.COMPLETED,
          filesFailed: 0n,
          chunksStored: BigInt(chunks + 1),
          chunksDeleted: BigInt(chunks + 1),
        });
      }
    } finally {
      over = true;
      await reading;
    }
    expect(wrong).toEqual([]);
    expect(looks).toBeGreaterThan(versions);
    expect(seen.size).toBeGreaterThan(1);
    expect((await look()).seen).toEqual([`version${versions}`]);
  }, 180_000);
});

function versionsIn(texts: readonly { readonly content: string }[]): string[] {
  return [...new Set(texts.flatMap(({ content }) => content.match(/version\d+/g) ?? []))];
}
