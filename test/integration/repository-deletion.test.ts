import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createApp as createEmbedding } from "../../services/embedding/app.ts";
import { readEmbeddingConfig } from "../../services/embedding/config.ts";
import { createApp as createVectorStore } from "../../services/vector-store/app.ts";
import { readConfig as readVectorStoreConfig } from "../../services/vector-store/config.ts";
import { IngestionStatus } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import {
  SearchMode,
  VectorStoreService,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { HookedVectorStore } from "../harness/hooked-vector-store.ts";
import { IngestionProcess } from "../harness/ingestion-process.ts";
import { describeEachStore } from "../harness/postgres.ts";

const limit = 120_000;
/** In contents, paths, uris and metadata of one repository and nowhere else; no stemmer changes it. */
const markers = { gone: "qzx7gonek", kept: "qzx7keptk" } as const;
type RepoId = keyof typeof markers;

describeEachStore("the deletion of a repository", (_, database) => {
  let resources: Resources;
  let vectorStore: HookedVectorStore;
  let direct: ReturnType<typeof connectDirectly>;
  let processes: IngestionProcess[];
  let embeddingAddress: string;

  beforeEach(async () => {
    resources = new Resources();
    await database().open().query("truncate rag_ingestions, rag_files, memories cascade");
    const logger = silentLogger();
    const config = readVectorStoreConfig({
      env: { MAHAVISHNU_VECTOR_STORE_PORT: "0", MAHAVISHNU_PG_URL: database().url },
      file: {},
    });
    const real = resources.use("store", await createVectorStore(config, { logger }));
    vectorStore = resources.use("hooked store", await HookedVectorStore.start(real.address));
    direct = connectDirectly(real.address);
    const embedding = await createEmbedding(
      readEmbeddingConfig({
        env: { MAHAVISHNU_EMBEDDING_PORT: "0", MAHAVISHNU_EMBEDDING_PROVIDER: "builtin" },
        file: {},
      }),
      { logger },
    );
    embeddingAddress = resources.use("embedding", embedding).address;
    processes = [];
  });
  afterEach(async () => {
    await Promise.all(processes.map((one) => one[Symbol.asyncDispose]()));
    await resources[Symbol.asyncDispose]();
  });

  function connectDirectly(address: string) {
    const transport = createGrpcTransport({ address });
    resources.defer("client", () => transport.close());
    return createClient(VectorStoreService, transport);
  }

  async function start(): Promise<IngestionProcess> {
    const one = await IngestionProcess.start({
      MAHAVISHNU_PG_URL: database().url,
      MAHAVISHNU_EMBEDDING_ADDRESS: embeddingAddress,
      MAHAVISHNU_VECTOR_STORE_ADDRESS: vectorStore.address,
      MAHAVISHNU_INGESTION_LEASE_MS: "3000",
    });
    processes.push(one);
    return one;
  }

  async function plant(repoId: RepoId): Promise<string> {
    const folder = await realpath(await mkdtemp(join(tmpdir(), `mahavishnu-${markers[repoId]}-`)));
    resources.defer("folder", () => rm(folder, { recursive: true, force: true }));
    const marker = markers[repoId];
    const files = {
      [`docs/${marker}.md`]: `# ${marker}\n\n${`Words of ${marker} and others. `.repeat(300)}\n`,
      "src/a.ts": `export class ${marker} {\n  get() {\n    return "${marker}";\n  }\n}\n`,
      "empty.md": "",
      "binary.md": `${marker}\0\0\0`,
      "same.md": `The same in both repositories, but for ${marker}.\n`,
    };
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), content);
    }
    return folder;
  }

  async function ingestFolder({ client }: IngestionProcess, repoId: RepoId, path: string) {
    let status: IngestionStatus | undefined;
    for await (const { progress } of client.ingestRepository({ path, repoId })) {
      status = progress?.status;
    }
    expect(status).toBe(IngestionStatus.COMPLETED);
  }

  async function sendDocuments({ client }: IngestionProcess, repoId: RepoId): Promise<void> {
    const marker = markers[repoId];
    const documents = [1, 2, 3].map((n) => ({
      repoId,
      uri: `https://example.org/${marker}/${n}`,
      content: new TextEncoder().encode(`Document ${n} of ${marker}.`),
      metadata: { marker },
    }));
    const stream = (async function* () {
      yield* documents;
    })();
    let stored = 0;
    for await (const { chunksStored } of client.ingestDocuments(stream)) stored += chunksStored;
    expect(stored).toBe(documents.length);
  }

  /** Both repositories, with files and documents. */
  async function fill(process: IngestionProcess): Promise<{ readonly gone: string }> {
    const folders = { gone: await plant("gone"), kept: await plant("kept") };
    for (const repoId of ["gone", "kept"] as const) {
      await ingestFolder(process, repoId, folders[repoId]);
      await sendDocuments(process, repoId);
    }
    return folders;
  }

  /** Every id by which a row could know the repository: its own, those of memories and ingestions. */
  async function namesOf(repoId: RepoId): Promise<string[]> {
    const { rows } = await database()
      .open()
      .query<{ id: string }>(
        `select id from memories where repo_id = $1
         union all select id from rag_ingestions where repo_id = $1`,
        [repoId],
      );
    const ids = rows.map(({ id }) => id);
    expect(ids.length).toBeGreaterThan(8);
    return [markers[repoId], `"${repoId}"`, ...ids];
  }

  /** The rows of every table of the database in which one of these names stands, by table. */
  async function rowsWith(names: readonly string[]): Promise<Map<string, number>> {
    const pool = database().open();
    const { rows: tables } = await pool.query<{ name: string }>(
      `select format('%I.%I', n.nspname, c.relname) as name
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'p', 'm')
         and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_%'`,
    );
    expect(tables.length).toBeGreaterThan(8);
    const found = new Map<string, number>();
    for (const { name } of tables) {
      const { rows } = await pool.query<{ count: number }>(
        `select count(*)::float8 as count from ${name} t
         where exists (select from unnest($1::text[]) word
           where strpos(t::text, word) > 0 or strpos(to_jsonb(t)::text, word) > 0)`,
        [names],
      );
      if (rows[0]?.count) found.set(name, rows[0].count);
    }
    return found;
  }

  async function expectNotFound({ client }: IngestionProcess, repoId: RepoId): Promise<void> {
    const text = markers[repoId];
    const vector = await vectorLike(text);
    for (const mode of [SearchMode.VECTOR, SearchMode.TEXT, SearchMode.HYBRID]) {
      const { hits } = await direct.search({ mode, text, vector, limit: 1_000 });
      for (const { document } of hits) expect(document?.content).not.toContain(text);
      for (const { document } of hits) expect(document?.repoId).not.toBe(repoId);
    }
    for (const filter of [{}, { repoId }]) {
      const { passages } = await client.queryKnowledgeBase({ query: text, topK: 100, ...filter });
      for (const { content } of passages) expect(content).not.toContain(text);
      if ("repoId" in filter) expect(passages).toEqual([]);
    }
    expect((await client.listIngestions({ repoId })).ingestions).toEqual([]);
  }

  /** A stored vector, if any is left: what is nearest to it is everything. */
  async function vectorLike(text: string) {
    const { documents } = await direct.listDocuments({ pageSize: 1, includeVectors: true });
    const vector = documents[0]?.vector;
    if (vector === undefined) throw new Error(`nothing is stored beside ${text}`);
    return vector;
  }

  /** Deletes it as a caller would who is told to come again while its holder may still live. */
  async function deletePatiently({ client }: IngestionProcess) {
    for (let tries = 0; ; tries++) {
      try {
        return await client.deleteRepository({ repoId: "gone" });
      } catch (error) {
        if (ConnectError.from(error).code !== Code.Aborted || tries === 100) throw error;
        await sleep(200);
      }
    }
  }

  it(
    "leaves no row in any table and nothing to be found, and the other repository as it was",
    async () => {
      const process = await start();
      await fill(process);
      const gone = await namesOf("gone");
      const kept = await namesOf("kept");
      const keptRows = await rowsWith(kept);
      expect([...(await rowsWith(gone)).keys()].sort()).toEqual([
        "public.memories",
        "public.rag_files",
        "public.rag_ingestions",
      ]);
      const answer = await process.client.deleteRepository({ repoId: "gone" });
      expect(answer.deletedChunks).toBeGreaterThan(6n);
      expect(answer.deletedIngestions).toBe(2n);
      expect(await rowsWith(gone)).toEqual(new Map());
      await expectNotFound(process, "gone");
      expect(await rowsWith(kept)).toEqual(keptRows);
      const { passages } = await process.client.queryKnowledgeBase({ query: markers.kept });
      expect(passages.length).toBeGreaterThan(0);
      // Again there is nothing to do.
      expect(await process.client.deleteRepository({ repoId: "gone" })).toMatchObject({
        deletedChunks: 0n,
        deletedIngestions: 0n,
      });
      expect(await rowsWith(gone)).toEqual(new Map());
    },
    limit,
  );

  it(
    "is refused while the repository is ingested, and changes nothing then",
    async () => {
      const process = await start();
      const folders = await fill(process);
      await writeFile(join(folders.gone, "new.md"), `# New words of ${markers.gone}\n`);
      const reached = Promise.withResolvers<void>();
      const released = Promise.withResolvers<void>();
      vectorStore.onUpsert = () => {
        reached.resolve();
        return released.promise;
      };
      const running = ingestFolder(process, "gone", folders.gone);
      await reached.promise;
      const before = await database().open().query("select id from memories order by id");
      await expect(process.client.deleteRepository({ repoId: "gone" })).rejects.toMatchObject({
        code: Code.Aborted,
      });
      const after = await database().open().query("select id from memories order by id");
      expect(after.rows).toEqual(before.rows);
      released.resolve();
      await running;
      await process.client.deleteRepository({ repoId: "gone" });
      expect(await rowsWith([markers.gone, '"gone"'])).toEqual(new Map());
    },
    limit,
  );

  it.each(["beforeDelete", "afterDelete"] as const)(
    "that was killed (%s of the passages) is done again by another process",
    async (hook) => {
      const first = await start();
      await fill(first);
      const gone = await namesOf("gone");
      const kept = await namesOf("kept");
      const keptRows = await rowsWith(kept);
      const reached = Promise.withResolvers<void>();
      const released = Promise.withResolvers<void>();
      vectorStore[hook] = () => {
        reached.resolve();
        return released.promise;
      };
      const deleting = first.client.deleteRepository({ repoId: "gone" });
      deleting.catch(() => {});
      await reached.promise;
      await first.end("SIGKILL");
      await expect(deleting).rejects.toThrow();
      vectorStore[hook] = () => {};
      released.resolve();
      // What has not been deleted is still known of, so that it can be.
      expect((await rowsWith(gone)).get("public.rag_ingestions")).toBeGreaterThan(0);
      const second = await start();
      await deletePatiently(second);
      expect(await rowsWith(gone)).toEqual(new Map());
      await expectNotFound(second, "gone");
      expect(await rowsWith(kept)).toEqual(keptRows);
    },
    limit,
  );
});
