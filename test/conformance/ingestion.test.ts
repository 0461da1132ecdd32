import { lstat, rename, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it } from "vitest";
import { countTokens } from "../../services/ingestion/tokens.ts";
import { ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import {
  type IngestionProgress,
  IngestionStage,
  IngestionStatus,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { SearchMode } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { newId } from "../../shared/ids.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { samplePrivateKeys, sampleTokens } from "../harness/sample-secrets.ts";
import { FakePeers, unavailable } from "./ingestion-peers.ts";
import {
  createFolder,
  ingest,
  startIngestion,
  type TestFolder,
  type TestIngestion,
} from "./ingestion-service.ts";

const { COMPLETED, FAILED, CANCELLED, IN_PROGRESS } = IngestionStatus;

describeEachStore("ingestion", (_, database) => {
  let peers: FakePeers;
  let folder: TestFolder;
  let service: TestIngestion;
  /** One a test, so that no test sees another's. */
  let tenant: string;

  beforeEach(async () => {
    // Whatever a test leaves in the queue would be the next one's.
    await database().truncate();
    tenant = newId();
    peers = new FakePeers();
    folder = await createFolder();
    service = await start();
  });
  afterEach(async () => {
    await service[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  function start(env: Readonly<Record<string, string>> = {}): Promise<TestIngestion> {
    return startIngestion(database().url, peers, env, tenant);
  }

  function run(
    request: Parameters<typeof ingest>[1] = {},
    client = service.client,
  ): Promise<IngestionProgress> {
    return ingest(client, { path: folder.path, repoId: "repo", ...request });
  }

  /** Starts an ingestion whose embedder waits; `release` lets it go on. */
  async function runHeld(client = service.client) {
    const held = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    peers.onEmbed = () => {
      reached.resolve();
      return held.promise;
    };
    const running = run({}, client);
    running.catch(() => {});
    await reached.promise;
    const { ingestions } = await client.listIngestions({ status: IN_PROGRESS });
    return { running, release: held.resolve, id: ingestions[0]?.id ?? "" };
  }

  const twoParts = (first: string, second: string) =>
    `${first}\n\n${"Some words of prose. ".repeat(20)}\n\n${second}\n\n${"Other words. ".repeat(40)}\n`;

  it("stores chunks with what is known of them", async () => {
    await folder.plant({
      "docs/a.md": "# Title\n\nSome words.\n",
      "src/b.ts": "export const b = 1;\n",
      ".git/HEAD": `${"c".repeat(40)}\n`,
      ".env": "TOKEN=x",
      "photo.md": new Uint8Array([0x89, 0x50, 0, 0, 1, 2, 3]),
    });
    const seen: IngestionProgress[] = [];
    for await (const { progress } of service.client.ingestRepository({
      path: folder.path,
      repoId: "repo",
    })) {
      if (progress !== undefined) seen.push(progress);
    }
    expect(seen.slice(0, -1).every(({ stage }) => stage !== IngestionStage.DONE)).toBe(true);
    const last = seen.at(-1);
    expect(last).toMatchObject({
      stage: IngestionStage.DONE,
      status: COMPLETED,
      filesTotal: 3n,
      filesDone: 3n,
      filesFailed: 0n,
      chunksStored: 2n,
      chunksUnchanged: 0n,
      chunksDeleted: 0n,
      filesRead: 3n,
      chunksSplit: 2n,
      chunksEmbedded: 2n,
      filesSkipped: { excluded: 1n, secret: 1n, binary: 1n },
      skippedExamples: [
        { path: ".env", reason: "secret" },
        { path: ".git", reason: "excluded" },
        { path: "photo.md", reason: "binary" },
      ],
      errors: [],
      message: "",
    });
    expect(peers.storedOf("docs/a.md")).toMatchObject([
      {
        content: "# Title\n\nSome words.",
        repoId: "repo",
        sourceSystem: "mahavishnu-ingestion",
        metadata: {
          file_path: "docs/a.md",
          start_line: 1,
          end_line: 3,
          language: "markdown",
          chunk_index: 0,
          ingestion_id: last?.ingestionId,
          commit: "c".repeat(40),
        },
      },
    ]);
    const { ingestion } = await service.client.getIngestion({
      ingestionId: last?.ingestionId ?? "",
    });
    expect(ingestion).toMatchObject({
      id: last?.ingestionId,
      repoId: "repo",
      path: folder.path,
      status: COMPLETED,
      progress: {
        filesDone: 3n,
        filesRead: 3n,
        chunksSplit: 2n,
        chunksEmbedded: 2n,
        filesSkipped: last?.filesSkipped,
        skippedExamples: last?.skippedExamples,
      },
    });
  });

  it("counts every file and chunk once on its way, also those that fail or are tried again", async () => {
    const files = Object.fromEntries(
      Array.from({ length: 10 }, (_, n) => [`${n}.md`, twoParts(`# ${n}`, n === 4 ? "Bad" : "")]),
    );
    await folder.plant(files);
    peers.refuses = (text) => text.includes("Bad");
    let failures = 2;
    peers.onUpsert = () => {
      if (failures-- > 0) unavailable();
    };
    const { chunksSplit, ...first } = await run({ chunkSize: 64 });
    expect(first).toMatchObject({
      filesTotal: 10n,
      filesRead: 10n,
      filesDone: 10n,
      filesFailed: 1n,
    });
    expect(first.chunksEmbedded).toBe(chunksSplit);
    expect(first.chunksStored).toBeLessThan(chunksSplit);
    // Only the one that failed is looked at again.
    const again = await run({ chunkSize: 64 });
    expect(again).toMatchObject({ filesRead: 10n, chunksStored: 0n });
    expect(again.chunksEmbedded).toBe(again.chunksSplit);
    expect(again.chunksSplit).toBe(chunksSplit - first.chunksStored);
  });

  it("tells some examples of what it passed over, of each reason", async () => {
    const many = Array.from({ length: 12 }, (_, n) => [`keys/${n}.pem`, "x"]);
    await folder.plant({ ...Object.fromEntries(many), "a.xyz": "?" });
    const { filesSkipped, skippedExamples } = await run();
    expect(filesSkipped).toEqual({ secret: 12n, file_type: 1n });
    expect(skippedExamples.filter(({ reason }) => reason === "secret")).toHaveLength(5);
    expect(skippedExamples).toContainEqual(
      expect.objectContaining({ path: "a.xyz", reason: "file_type" }),
    );
  });

  it("passes over files in which a token or private key stands, and says where", async () => {
    const tokens = Object.values(sampleTokens());
    const keys = samplePrivateKeys();
    const prose = "Some words that lead up to it.\n".repeat(50);
    const files = Object.fromEntries(
      [...tokens, ...keys].map((secret, n) => [`d/${n}.md`, `${prose}${secret}\n${prose}`]),
    );
    await folder.plant({ ...files, "clean.md": "# Clean\n", "sample.md": `ghp_${"x".repeat(36)}` });
    const first = await run();
    expect(first).toMatchObject({ status: COMPLETED, filesFailed: 0n, chunksStored: 2n });
    expect(first.filesSkipped).toEqual({ secret_found: BigInt(Object.keys(files).length) });
    const told = first.skippedExamples;
    expect(told.map(({ path }) => path).sort()).toEqual(Object.keys(files).sort());
    expect(told.every(({ detail }) => /^line 51: \w+ (token|key)$/.test(detail))).toBe(true);
    // Neither what is stored nor what is recorded or told holds any of it.
    const { rows } = await database()
      .open()
      .query(
        "select to_jsonb(f) as row from rag_files f union all select to_jsonb(i) from rag_ingestions i",
      );
    const all = JSON.stringify([rows, [...peers.documents.values()].map((one) => one.content)]);
    for (const secret of [...tokens, ...keys]) {
      for (const word of secret.match(/[\w/+-]{16,}/g) ?? []) expect(all).not.toContain(word);
    }
    // They are known, and told again.
    const second = await run();
    expect(second).toMatchObject({ chunksStored: 0n, filesSkipped: first.filesSkipped });
    expect(second.skippedExamples).toEqual(told);
    // One that is cleaned is taken in; one that gets a token loses what it had.
    await folder.plant({ "d/0.md": prose, "clean.md": `# Clean\n\n${tokens[2]}\n` });
    expect(await run()).toMatchObject({ chunksStored: 1n, chunksDeleted: 1n });
    expect(peers.storedOf("clean.md")).toEqual([]);
    expect(peers.storedOf("d/0.md")).toHaveLength(1);
  });

  it("does nothing where nothing changed", async () => {
    await folder.plant({ "a.md": twoParts("# A", "# B"), "b.md": "# B\n", "c.md": "\0\0\0\x01" });
    const first = await run();
    const { upsert, embed } = peers.calls;
    for (let again = 0; again < 3; again++) {
      expect(await run()).toMatchObject({
        status: COMPLETED,
        filesDone: first.filesDone,
        chunksStored: 0n,
        chunksUnchanged: first.chunksStored,
        chunksDeleted: 0n,
        filesSkipped: first.filesSkipped,
      });
    }
    expect(peers.calls).toMatchObject({ upsert, embed });
    expect(peers.documents.size).toBe(Number(first.chunksStored));
  });

  it("sees a change that keeps size and time, and one in the tick in which it read", async () => {
    await folder.plant({ "a.md": "# One\n", "b.md": "# Old\n" });
    const time = new Date(Date.now() - 3_600_000);
    await utimes(join(folder.path, "a.md"), time, time);
    await run();
    await folder.plant({ "a.md": "# Two\n" });
    await utimes(join(folder.path, "a.md"), time, time);
    // Another file in its place, as editors save.
    await folder.plant({ "c.md.new": "# New\n" });
    await rename(join(folder.path, "c.md.new"), join(folder.path, "b.md"));
    expect(await run()).toMatchObject({ chunksStored: 2n, chunksDeleted: 2n });
    expect(peers.storedOf("a.md")).toMatchObject([{ content: "# Two" }]);
    expect(peers.storedOf("b.md")).toMatchObject([{ content: "# New" }]);
  });

  it("reads no file again that it knows, and forgets none of them", async () => {
    const names = Array.from({ length: 40 }, (_, n) => `${n % 3 === 0 ? "d-x/" : "d/"}${n}.md`);
    await folder.plant(Object.fromEntries(names.map((name) => [name, `# ${name}\n`])));
    await run();
    // As if they had been read long ago: without that, they are read once more.
    const look = database().open();
    await look.query("update rag_files set file_hash = 'unread' where tenant = $1", [tenant]);
    for (const name of names) {
      const { size, mtimeNs, ctimeNs, ino } = await lstat(join(folder.path, name), {
        bigint: true,
      });
      await look.query(
        `update rag_files set size_bytes = $3, mtime_ns = $4, ctime_ns = $5, inode = $6
         where tenant = $1 and path = $2`,
        [tenant, name, size, mtimeNs, ctimeNs, BigInt.asIntN(64, ino)],
      );
    }
    expect(await run()).toMatchObject({
      filesTotal: 40n,
      filesDone: 40n,
      chunksStored: 0n,
      chunksUnchanged: 40n,
      chunksDeleted: 0n,
    });
    const { rows } = await look.query<{ path: string }>(
      "select path from rag_files where tenant = $1 and file_hash <> 'unread'",
      [tenant],
    );
    expect(rows).toEqual([]);
  });

  it("replaces what changed, keeps what did not, and cleans up what is gone", async () => {
    const chunks = { chunkSize: 128, chunkOverlap: 0 };
    await folder.plant({ "a.md": twoParts("# A", "# B"), "b.md": "# B\n", "old.md": "# Old\n" });
    await run(chunks);
    const before = peers.storedOf("a.md");
    expect(before.length).toBe(2);
    await folder.plant({ "a.md": twoParts("# A", "# Changed") });
    await rm(join(folder.path, "b.md"));
    await rename(join(folder.path, "old.md"), join(folder.path, "new.md"));
    expect(await run(chunks)).toMatchObject({
      status: COMPLETED,
      chunksStored: 2n,
      chunksUnchanged: 1n,
      chunksDeleted: 3n,
    });
    const after = peers.storedOf("a.md");
    expect(after.map(({ id }) => id)).toContain(before[0]?.id);
    expect(after.map(({ id }) => id)).not.toContain(before[1]?.id);
    expect(peers.storedOf("b.md")).toEqual([]);
    expect(peers.storedOf("old.md")).toEqual([]);
    expect(peers.storedOf("new.md")).toHaveLength(1);
  });

  it("renews the lines of passages that moved", async () => {
    await folder.plant({ "a.md": "# A\n" });
    await run();
    const [before] = peers.storedOf("a.md");
    await folder.plant({ "a.md": "\n\n# A\n" });
    expect(await run()).toMatchObject({ chunksStored: 1n, chunksDeleted: 0n });
    expect(peers.storedOf("a.md")).toMatchObject([
      { id: before?.id, metadata: { start_line: 3, end_line: 3 } },
    ]);
  });

  it("chunks anew when asked for another size, and stores anew what somebody deleted", async () => {
    await folder.plant({ "a.md": twoParts("# A", "# B") });
    await run();
    expect(peers.documents.size).toBe(1);
    expect(await run({ chunkSize: 64 })).toMatchObject({ chunksUnchanged: 0n, chunksDeleted: 1n });
    const { size } = peers.documents;
    expect(size).toBeGreaterThan(2);
    peers.documents.clear();
    expect(await run({ chunkSize: 64 })).toMatchObject({ chunksStored: BigInt(size) });
    expect(peers.documents.size).toBe(size);
  });

  it("leaves alone what the request's patterns leave out", async () => {
    await folder.plant({ "a.md": "# A\n", "src/b.ts": "let b = 1;\n" });
    await run();
    await folder.plant({ "a.md": "# A2\n" });
    expect(await run({ include: ["*.md"] })).toMatchObject({ chunksStored: 1n, chunksDeleted: 1n });
    expect(await run({ exclude: ["src/"] })).toMatchObject({ chunksDeleted: 0n });
    expect(peers.storedOf("src/b.ts")).toHaveLength(1);
  });

  it("keeps equal passages of different files, and answers with one of them", async () => {
    await folder.plant({ "a/x.md": "# Same\n", "b/x.md": "# Same\n", "c.ts": "// # Same\n" });
    await run();
    expect(peers.documents.size).toBe(3);
    const ask = async (request: object) =>
      (await service.client.queryKnowledgeBase({ query: "Same", repoId: "repo", ...request }))
        .passages;
    expect((await ask({})).map(({ content }) => content).sort()).toEqual(["# Same", "// # Same"]);
    expect(await ask({ pathPrefix: "b/" })).toMatchObject([
      { filePath: "b/x.md", startLine: 1, endLine: 1, language: "markdown", repoId: "repo" },
    ]);
    expect(await ask({ language: "typescript" })).toMatchObject([{ filePath: "c.ts" }]);
    expect(await ask({ repoId: "another" })).toEqual([]);
    expect(await ask({ topK: 1 })).toHaveLength(1);
    expect(peers.lastSearch?.mode).toBe(SearchMode.HYBRID);
  });

  it("puts neighbours together, and answers by file where that is asked for", async () => {
    const chunks = { chunkSize: 64, chunkOverlap: 0 };
    const parts = ["one", "two", "three"].map(
      (word) => `# ${word}\n\n${`Needle ${word}. `.repeat(15)}`,
    );
    await folder.plant({ "a.md": parts.join("\n\n"), "b.md": "# B\n\nNeedle.\n" });
    expect((await run(chunks)).chunksStored).toBeGreaterThan(3n);
    const ask = (request: object) =>
      service.client.queryKnowledgeBase({ query: "Needle", repoId: "repo", topK: 10, ...request });
    const { passages } = await ask({});
    expect(passages.map(({ filePath }) => filePath).sort()).toEqual(["a.md", "b.md"]);
    const whole = passages.find(({ filePath }) => filePath === "a.md");
    expect(whole).toMatchObject({ startLine: 1, endLine: 11, section: "one" });
    expect(whole?.memoryIds.length).toBeGreaterThan(2);
    const apart = await ask({ keepApart: true });
    expect(apart.passages.length).toBeGreaterThan(3);
    expect(apart.passages.map(({ section }) => section)).toContain("three");
    const { files } = await ask({ groupByFile: true, topK: 1 });
    expect(files).toHaveLength(1);
    expect(files[0]?.passages.every(({ filePath }) => filePath === files[0]?.filePath)).toBe(true);
  });

  it("makes chunks of 1,024 tokens that share up to 20, where nothing else is asked for", async () => {
    const lines = Array.from({ length: 600 }, (_, n) => `Line ${n} tells of ships and harbours.`);
    await folder.plant({ "a.txt": lines.join("\n") });
    const { slowest, busy } = await run();
    // Each part of the work tells how long it was at it, and which one sets the pace.
    expect(Object.keys(busy).sort()).toEqual(["embed", "read", "split", "store"]);
    expect(Object.keys(busy)).toContain(slowest);
    const contents = peers.storedOf("a.txt").map(({ content = "" }) => content);
    expect(contents.length).toBeGreaterThan(3);
    for (const [index, content] of contents.entries()) {
      expect(countTokens(content)).toBeLessThanOrEqual(1_024);
      const before = contents[index - 1];
      if (before === undefined) continue;
      expect(countTokens(before)).toBeGreaterThan(900);
      const shared = before.slice(before.indexOf(content.split("\n", 1)[0] ?? ""));
      expect(content.startsWith(shared)).toBe(true);
      expect(countTokens(shared)).toBeGreaterThan(0);
      expect(countTokens(shared)).toBeLessThanOrEqual(20);
    }
  });

  it("tells what neighbours share once, whatever a text repeats", async () => {
    const text = Array.from({ length: 120 }, (_, n) => (n % 7 === 0 ? `needle ${n}` : "hay")).join(
      "\n",
    );
    await folder.plant({ "lines.md": text, "line.md": text.replaceAll("\n", " ") });
    await run({ chunkSize: 64, chunkOverlap: 30 });
    const { passages } = await service.client.queryKnowledgeBase({ query: "hay", topK: 100 });
    expect(passages.map(({ content }) => content).sort()).toEqual(
      [text, text.replaceAll("\n", " ")].sort(),
    );
    expect(passages.every(({ memoryIds }) => memoryIds.length > 3)).toBe(true);
  });

  it("answers the parts that match best where that is asked for", async () => {
    const prose = Array.from({ length: 30 }, (_, n) => `Sentence ${n} of the needle's hay.`);
    prose[20] = "Here the needle meets a dragon.";
    await folder.plant({ "a.md": `# Hay\n\n${prose.join("\n")}\n` });
    await run();
    const ask = (request: object) =>
      service.client.queryKnowledgeBase({ query: "needle", repoId: "repo", ...request });
    peers.words = () => "dragon";
    const { passages } = await ask({
      query: "where is the dragon?",
      passageCharacters: 200,
      keepApart: true,
      topK: 2,
    });
    expect(passages).toHaveLength(2);
    expect(passages[0]?.content).toContain("dragon");
    for (const { content, startLine, endLine, section } of passages) {
      expect(content.length).toBeLessThanOrEqual(200);
      const lines = ["# Hay", "", ...prose].slice(startLine - 1, endLine);
      expect(content).toBe(lines.join("\n"));
      expect(section).toBe("Hay");
    }
    for (const passageCharacters of [-1, 199, 100_001]) {
      await expect(ask({ passageCharacters })).rejects.toMatchObject({
        code: Code.InvalidArgument,
      });
    }
  });

  it("answers by words alone while embedding is down", async () => {
    await folder.plant({ "a.md": "# Words\n" });
    await run();
    peers.onEmbed = unavailable;
    const { passages } = await service.client.queryKnowledgeBase({ query: "Words" });
    expect(passages).toMatchObject([{ filePath: "a.md" }]);
    expect(peers.lastSearch?.mode).toBe(SearchMode.TEXT);
  });

  it("fails a file whose text is refused, alone, and keeps what it had", async () => {
    await folder.plant({ "a.md": "# A\n", "b.md": "# B\n" });
    await run();
    await folder.plant({ "a.md": "# Poison\n", "c.md": "# C\n" });
    peers.refuses = (text) => text.includes("Poison");
    expect(await run()).toMatchObject({
      status: COMPLETED,
      filesTotal: 3n,
      filesDone: 3n,
      filesFailed: 1n,
      chunksStored: 1n,
      chunksDeleted: 0n,
      errors: [{ path: "a.md", error: { code: Code.InvalidArgument, message: "refused" } }],
    });
    expect(peers.storedOf("a.md")).toMatchObject([{ content: "# A" }]);
    peers.refuses = () => false;
    expect(await run()).toMatchObject({ filesFailed: 0n, chunksStored: 1n, chunksDeleted: 1n });
  });

  it("waits for a peer that comes back", async () => {
    await folder.plant({ "a.md": "# A\n" });
    let failures = 3;
    peers.onEmbed = () => {
      if (failures-- > 0) unavailable();
    };
    expect(await run()).toMatchObject({ status: COMPLETED, chunksStored: 1n });
  });

  it("fails when a peer stays away, records why, and goes on from there next time", async () => {
    await service[Symbol.asyncDispose]();
    service = await start({
      MAHAVISHNU_INGESTION_PATIENCE_MS: "0",
      MAHAVISHNU_INGESTION_EMBED_BATCH: "4",
      MAHAVISHNU_INGESTION_PARALLEL_BATCHES: "1",
    });
    await folder.plant(
      Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`${n}.md`, `# File ${n}\n`])),
    );
    let embedded = 0;
    peers.onEmbed = () => {
      if (++embedded > 2) unavailable();
    };
    const failed = await run();
    expect(failed).toMatchObject({ status: FAILED, stage: IngestionStage.DONE, chunksStored: 8n });
    expect(failed.message).toMatch(/embedding/);
    const { ingestion } = await service.client.getIngestion({ ingestionId: failed.ingestionId });
    expect(ingestion).toMatchObject({ status: FAILED, progress: { message: failed.message } });
    peers.onEmbed = () => {};
    expect(await run()).toMatchObject({ chunksStored: 12n, chunksUnchanged: 8n });
    expect(peers.documents.size).toBe(20);
  });

  it("cleans up after a run that stored chunks and never recorded them", async () => {
    await folder.plant({ "a.md": "# Before\n" });
    await run();
    // A process died between the write and its record.
    await database()
      .open()
      .query("update rag_files set pending_ids = '{lost}' where tenant = $1", [tenant]);
    const [before] = peers.documents.values();
    if (before === undefined) throw new Error("nothing is stored");
    peers.documents.set(`${tenant}/lost`, { ...before, id: "lost" });
    await folder.plant({ "a.md": "# After\n" });
    expect(await run()).toMatchObject({ status: COMPLETED, chunksDeleted: 2n });
    expect(peers.storedOf("a.md")).toMatchObject([{ content: "# After" }]);
  });

  it("sets files aside that a peer does not take while it takes others", async () => {
    await service[Symbol.asyncDispose]();
    service = await start({ MAHAVISHNU_INGESTION_PATIENCE_MS: "0" });
    const files = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`${n}.md`, `# ${n}\n`]));
    await folder.plant({ ...files, "poison.md": "# Poison\n" });
    peers.onEmbed = (texts) => {
      if (texts.some((text) => text.includes("Poison"))) unavailable();
    };
    expect(await run()).toMatchObject({
      status: COMPLETED,
      filesDone: 21n,
      filesFailed: 1n,
      chunksStored: 20n,
      errors: [{ path: "poison.md", error: { code: Code.Unavailable } }],
    });
  });

  it("refuses a second ingestion of a repository, and lets others follow the first", async () => {
    await folder.plant({ "a.md": "# A\n" });
    const { running, release, id } = await runHeld();
    const error = await run().catch((one: unknown) => one);
    expect(error).toBeInstanceOf(ConnectError);
    expect(error).toMatchObject({ code: Code.Aborted });
    expect((error as ConnectError).findDetails(ErrorInfoSchema)).toMatchObject([
      { reason: "CONFLICT", metadata: { ingestion_id: id } },
    ]);
    await expect(service.client.deleteRepository({ repoId: "repo" })).rejects.toMatchObject({
      code: Code.Aborted,
    });
    const watched: IngestionProgress[] = [];
    const watching = (async () => {
      for await (const { progress } of service.client.watchIngestion({ ingestionId: id })) {
        if (progress !== undefined) watched.push(progress);
        release();
      }
    })();
    await Promise.all([watching, running]);
    expect(watched[0]).toMatchObject({ status: IN_PROGRESS, stage: IngestionStage.INGESTING });
    expect(watched.at(-1)).toMatchObject({ status: COMPLETED, stage: IngestionStage.DONE });
  });

  it("cancels", async () => {
    await folder.plant({ "a.md": "# A\n" });
    const { running, id } = await runHeld();
    const { ingestion } = await service.client.cancelIngestion({ ingestionId: id });
    expect(ingestion).toMatchObject({
      status: CANCELLED,
      progress: { stage: IngestionStage.DONE },
    });
    expect(await running).toMatchObject({ status: CANCELLED });
    expect(peers.documents.size).toBe(0);
    const again = await service.client.cancelIngestion({ ingestionId: id });
    expect(again.ingestion).toMatchObject({ status: CANCELLED });
    peers.onEmbed = () => {};
    expect(await run()).toMatchObject({ status: COMPLETED, chunksStored: 1n });
  });

  it("cancels and follows what another process works on", async () => {
    await folder.plant({ "a.md": "# A\n" });
    const { running, id } = await runHeld();
    // It works on nothing itself.
    const idle = { MAHAVISHNU_INGESTION_PARALLEL_INGESTIONS: "0" };
    await using second = await startIngestion(database().url, peers, idle, tenant);
    const watched: IngestionProgress[] = [];
    const watching = (async () => {
      for await (const { progress } of second.client.watchIngestion({ ingestionId: id })) {
        if (progress !== undefined) watched.push(progress);
      }
    })();
    const { ingestion } = await second.client.cancelIngestion({ ingestionId: id });
    expect(ingestion).toMatchObject({ status: CANCELLED });
    expect(await running).toMatchObject({ status: CANCELLED });
    await watching;
    expect(watched.at(-1)).toMatchObject({ status: CANCELLED, stage: IngestionStage.DONE });
  });

  it("works on what another process was asked for, and cancels what waits at once", async () => {
    await folder.plant({ "a.md": "# A\n" });
    const idle = { MAHAVISHNU_INGESTION_PARALLEL_INGESTIONS: "0" };
    await using asked = await startIngestion(database().url, peers, idle, tenant);
    expect(await run({}, asked.client)).toMatchObject({ status: COMPLETED, chunksStored: 1n });
    await service[Symbol.asyncDispose]();
    const stop = new AbortController();
    const call = asked.client.ingestRepository(
      { path: folder.path, repoId: "waits", detached: true },
      { signal: stop.signal },
    );
    for await (const { progress } of call) {
      expect(progress).toMatchObject({ status: IngestionStatus.PENDING });
      const ingestionId = progress?.ingestionId ?? "";
      const { ingestion } = await asked.client.cancelIngestion({ ingestionId });
      expect(ingestion).toMatchObject({ status: CANCELLED });
      break;
    }
  });

  it("stops when the call is cancelled", async () => {
    await folder.plant({ "a.md": "# A\n" });
    peers.onEmbed = () => new Promise(() => {});
    const stop = new AbortController();
    const call = service.client.ingestRepository(
      { path: folder.path, repoId: "repo" },
      { signal: stop.signal },
    );
    let id = "";
    await expect(
      (async () => {
        for await (const { progress } of call) {
          id = progress?.ingestionId ?? "";
          stop.abort();
        }
      })(),
    ).rejects.toMatchObject({ code: Code.Canceled });
    let last: IngestionProgress | undefined;
    for await (const { progress } of service.client.watchIngestion({ ingestionId: id })) {
      last = progress;
    }
    expect(last).toMatchObject({ status: CANCELLED });
  });

  it("goes on without the call that asked for it where it is detached", async () => {
    await folder.plant({ "a.md": "# A\n" });
    const held = Promise.withResolvers<void>();
    peers.onEmbed = () => held.promise;
    const stop = new AbortController();
    const call = service.client.ingestRepository(
      { path: folder.path, repoId: "repo", detached: true },
      { signal: stop.signal },
    );
    let id = "";
    await expect(
      (async () => {
        for await (const { progress } of call) {
          id = progress?.ingestionId ?? "";
          stop.abort();
        }
      })(),
    ).rejects.toMatchObject({ code: Code.Canceled });
    held.resolve();
    let last: IngestionProgress | undefined;
    for await (const { progress } of service.client.watchIngestion({ ingestionId: id })) {
      last = progress;
    }
    expect(last).toMatchObject({ status: COMPLETED, chunksStored: 1n });
  });

  it("hands back what runs when the process stops, and the next one goes on with it", async () => {
    await folder.plant({ "a.md": "# A\n", "b.md": "# B\n" });
    await service[Symbol.asyncDispose]();
    service = await start({
      MAHAVISHNU_INGESTION_EMBED_BATCH: "1",
      MAHAVISHNU_INGESTION_PARALLEL_BATCHES: "1",
    });
    let batches = 0;
    const reached = Promise.withResolvers<void>();
    peers.onEmbed = () => {
      if (++batches === 1) return;
      reached.resolve();
      return new Promise(() => {});
    };
    const running = run();
    await Promise.all([
      expect(running).rejects.toMatchObject({ code: Code.Unavailable }),
      reached.promise.then(() => service[Symbol.asyncDispose]()),
    ]);
    peers.onEmbed = () => {};
    service = await start();
    const { ingestions } = await service.client.listIngestions({});
    expect(ingestions).toHaveLength(1);
    let last: IngestionProgress | undefined;
    const ingestionId = ingestions[0]?.id ?? "";
    for await (const { progress } of service.client.watchIngestion({ ingestionId })) {
      last = progress;
    }
    // What the first process stored counts as stored by this ingestion.
    expect(last).toMatchObject({ status: COMPLETED, chunksStored: 2n, chunksUnchanged: 0n });
    expect(peers.calls.embeddedTexts).toBe(2);
  });

  it("goes on with what a dead process was working on", async () => {
    await folder.plant({ "a.md": "# A\n" });
    const dead = newId();
    await database()
      .open()
      .query(
        `insert into rag_ingestions
         (tenant, id, repo_id, path, settings, status, lease_token, lease_until)
       values ($1, $2, 'repo', $3, $4, 'in_progress', 'x', now() - interval '1 second')`,
        [
          tenant,
          dead,
          folder.path,
          JSON.stringify({ include: [], exclude: [], chunkSize: 512, chunkOverlap: 0 }),
        ],
      );
    let last: IngestionProgress | undefined;
    for await (const { progress } of service.client.watchIngestion({ ingestionId: dead })) {
      last = progress;
    }
    expect(last).toMatchObject({ status: COMPLETED, chunksStored: 1n });
  });

  it("ends what nobody can go on with", async () => {
    const ids = { deletion: newId(), documents: newId(), cancelled: newId() };
    const insert = (id: string, kind: string, cancelled: boolean) =>
      database()
        .open()
        .query(
          `insert into rag_ingestions
             (tenant, id, repo_id, kind, path, status, lease_token, lease_until, cancel_requested)
           values ($1, $2, $2, $3, '/', 'in_progress', 'x', now() - interval '1 second', $4)`,
          [tenant, id, kind, cancelled],
        );
    await insert(ids.deletion, "deletion", false);
    await insert(ids.documents, "documents", false);
    await insert(ids.cancelled, "folder", true);
    const statusOf = async (ingestionId: string) => {
      for await (const { progress } of service.client.watchIngestion({ ingestionId })) {
        if (progress?.stage === IngestionStage.DONE) return progress.status;
      }
      return undefined;
    };
    expect(await statusOf(ids.deletion)).toBe(FAILED);
    expect(await statusOf(ids.documents)).toBe(FAILED);
    expect(await statusOf(ids.cancelled)).toBe(CANCELLED);
  });

  it("lets ingestions wait for their turn", async () => {
    await service[Symbol.asyncDispose]();
    service = await start({ MAHAVISHNU_INGESTION_PARALLEL_INGESTIONS: "1" });
    await folder.plant({ "a.md": "# A\n" });
    const { running, release } = await runHeld();
    const waiting = run({ repoId: "second" });
    const stop = new AbortController();
    const third = service.client.ingestRepository(
      { path: folder.path, repoId: "third" },
      { signal: stop.signal },
    );
    let pending: IngestionProgress | undefined;
    await expect(
      (async () => {
        for await (const { progress } of third) {
          pending = progress;
          stop.abort();
        }
      })(),
    ).rejects.toMatchObject({ code: Code.Canceled });
    expect(pending).toMatchObject({ status: IngestionStatus.PENDING });
    release();
    expect(await running).toMatchObject({ status: COMPLETED });
    expect(await waiting).toMatchObject({ status: COMPLETED });
  });

  it("names a repository by its folder, but not two of them the same", async () => {
    await folder.plant({ "x/lib/a.md": "# A\n", "y/lib/b.md": "# B\n" });
    const named = await ingest(service.client, { path: join(folder.path, "x/lib") });
    const { ingestion } = await service.client.getIngestion({ ingestionId: named.ingestionId });
    expect(ingestion?.repoId).toBe("lib");
    expect(await ingest(service.client, { path: join(folder.path, "x/lib/") })).toMatchObject({
      status: COMPLETED,
    });
    const refused = ingest(service.client, { path: join(folder.path, "y/lib") });
    await expect(refused).rejects.toMatchObject({ code: Code.InvalidArgument });
    expect(peers.storedOf("a.md")).toHaveLength(1);
  });

  it("removes a repository, and nothing of another one or another tenant", async () => {
    await folder.plant({ "a.md": "# A\n" });
    await run();
    await run({ repoId: "other" });
    await using stranger = await startIngestion(database().url, peers, {}, newId());
    await run({}, stranger.client);
    const { ingestions } = await service.client.listIngestions({ repoId: "repo" });
    await expect(
      stranger.client.getIngestion({ ingestionId: ingestions[0]?.id ?? "" }),
    ).rejects.toMatchObject({ code: Code.NotFound });
    expect(await service.client.deleteRepository({ repoId: "repo" })).toMatchObject({
      deletedChunks: 1n,
      deletedIngestions: 1n,
    });
    expect(peers.documents.size).toBe(2);
    expect(await service.client.deleteRepository({ repoId: "repo" })).toMatchObject({
      deletedChunks: 0n,
      deletedIngestions: 0n,
    });
    expect((await service.client.listIngestions({ repoId: "repo" })).ingestions).toEqual([]);
    expect(await run()).toMatchObject({ chunksStored: 1n });
  });

  it("lists in pages", async () => {
    await folder.plant({ "a.md": "# A\n" });
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) ids.unshift((await run()).ingestionId);
    const first = await service.client.listIngestions({ pageSize: 2 });
    expect(first.ingestions.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    const rest = await service.client.listIngestions({ pageToken: first.nextPageToken });
    expect(rest.ingestions.map(({ id }) => id)).toEqual(ids.slice(2));
    expect(rest.nextPageToken).toBe("");
  });
});
