import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  type IngestionProgress,
  IngestionStatus,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { sleep } from "../../shared/lifecycle.ts";
import type { IngestionProcess } from "../harness/ingestion-process.ts";
import { IngestionScene } from "../harness/ingestion-scene.ts";
import { describeEachStore } from "../harness/postgres.ts";

const fileCount = 60;
const embedBatch = 4;
const parallelBatches = 2;
const limit = 120_000;

describeEachStore("ingestion whose processes die", (_, database) => {
  let scene: IngestionScene;

  beforeEach(async () => {
    await database().open().query("truncate rag_ingestions, rag_files, memories cascade");
    scene = await IngestionScene.open(database().url, {
      MAHAVISHNU_INGESTION_EMBED_BATCH: String(embedBatch),
      MAHAVISHNU_INGESTION_PARALLEL_BATCHES: String(parallelBatches),
      MAHAVISHNU_INGESTION_PARALLEL_INGESTIONS: "1",
    });
    for (let n = 0; n < fileCount; n++)
      await scene.plant({ [`d${n % 7}/${n}.md`]: `# File ${n}\n` });
  });
  afterEach(() => scene[Symbol.asyncDispose]());

  /** Asks for the ingestion, and leaves. */
  async function begin({ client }: IngestionProcess): Promise<string> {
    const call = client.ingestRepository({ path: scene.folder, repoId: "repo", detached: true });
    for await (const { progress } of call) {
      if (progress !== undefined) return progress.ingestionId;
    }
    throw new Error("no progress was told");
  }

  async function watch(
    { client }: IngestionProcess,
    ingestionId: string,
  ): Promise<IngestionProgress> {
    let last: IngestionProgress | undefined;
    for await (const { progress } of client.watchIngestion({ ingestionId })) last = progress;
    if (last === undefined) throw new Error("no progress was told");
    return last;
  }

  async function expectAllStored(files = fileCount): Promise<void> {
    const { rows } = await database()
      .open()
      .query<{ path: string }>("select metadata ->> 'file_path' as path from memories");
    expect(rows).toHaveLength(files);
    expect(new Set(rows.map(({ path }) => path)).size).toBe(files);
  }

  /** Work that was done before a death and done again after it. */
  function repeated(): number {
    return [...scene.embedder.embedded.values()].reduce((sum, count) => sum + count - 1, 0);
  }

  it(
    "goes on by itself in another process, and repeats the batches in flight at most",
    async () => {
      const first = scene.process;
      const { reached, release } = scene.holdAfter(5);
      const id = await begin(first);
      await reached;
      const second = await scene.startBeside();
      await first.end("SIGKILL");
      release();
      expect(await watch(second, id)).toMatchObject({
        status: IngestionStatus.COMPLETED,
        filesTotal: BigInt(fileCount),
        filesDone: BigInt(fileCount),
        filesFailed: 0n,
        chunksStored: BigInt(fileCount),
        chunksUnchanged: 0n,
      });
      await expectAllStored();
      // As many batches may be stored as are embedded.
      expect(repeated()).toBeLessThanOrEqual(embedBatch * parallelBatches * 2);
    },
    limit,
  );

  it(
    "goes on by itself in its next life, however often it dies",
    async () => {
      let one = scene.process;
      let id = "";
      for (let deaths = 0; deaths < 3; deaths++) {
        const { reached, release } = scene.holdAfter(3);
        if (id === "") id = await begin(one);
        await reached;
        await one.end("SIGKILL");
        release();
        one = await scene.start();
      }
      expect(await watch(one, id)).toMatchObject({
        status: IngestionStatus.COMPLETED,
        chunksStored: BigInt(fileCount),
        filesFailed: 0n,
      });
      await expectAllStored();
    },
    limit,
  );

  it(
    "hands over without a pause when it is told to stop, and nobody is told of a failure",
    async () => {
      const first = scene.process;
      const { reached, release } = scene.holdAfter(3);
      const id = await begin(first);
      const watching = watch(first, id).catch((error: unknown) => error);
      await reached;
      await first.end("SIGTERM");
      expect(await watching).toMatchObject({ code: Code.Unavailable });
      const { rows } = await database()
        .open()
        .query("select status, lease_token, lost_holders from rag_ingestions");
      expect(rows).toEqual([{ status: "pending", lease_token: null, lost_holders: 0 }]);
      release();
      const second = await scene.startBeside();
      expect(await watch(second, id)).toMatchObject({
        status: IngestionStatus.COMPLETED,
        chunksStored: BigInt(fileCount),
      });
      await expectAllStored();
    },
    limit,
  );

  it(
    "sets aside a file that kills each process, and completes",
    async () => {
      await scene.plant({ "d3/poison.md": "# Poison\n" });
      let victim = scene.process;
      let deaths = 0;
      scene.embedder.onEmbed = async (texts) => {
        if (!texts.some((text) => text.includes("Poison"))) return;
        deaths++;
        await victim.end("SIGKILL");
      };
      const id = await begin(victim);
      let last: IngestionProgress | undefined;
      while (last === undefined) {
        last = await watch(victim, id).catch(() => undefined);
        if (!victim.isAlive) victim = await scene.start();
        else if (last === undefined) await sleep(50);
      }
      expect(last).toMatchObject({
        status: IngestionStatus.COMPLETED,
        filesDone: BigInt(fileCount + 1),
        filesFailed: 1n,
        errors: [{ path: "d3/poison.md", error: { code: Code.Internal } }],
      });
      expect(deaths).toBe(3);
      await expectAllStored();
      // It is not tried again until it changes.
      scene.embedder.onEmbed = () => {};
      const again = await watch(victim, await begin(victim));
      expect(again).toMatchObject({
        status: IngestionStatus.COMPLETED,
        chunksStored: 0n,
        filesSkipped: { set_aside: 1n },
      });
      await scene.plant({ "d3/poison.md": "# Harmless by now\n" });
      expect(await watch(victim, await begin(victim))).toMatchObject({ chunksStored: 1n });
    },
    limit,
  );
});
