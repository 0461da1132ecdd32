import { afterEach, beforeEach, expect, it } from "vitest";
import { IngestionStatus } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { CommandLine } from "../harness/command-line.ts";
import { IngestionScene } from "../harness/ingestion-scene.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { sampleTokens } from "../harness/sample-secrets.ts";

const fileCount = 40;
const limit = 120_000;

describeEachStore("the command line's ingestions", (_, database) => {
  let scene: IngestionScene;
  let running: CommandLine[];

  beforeEach(async () => {
    await database().open().query("truncate rag_ingestions, rag_files, memories cascade");
    scene = await IngestionScene.open(database().url);
    running = [];
    for (let n = 0; n < fileCount; n++)
      await scene.plant({ [`d${n % 7}/${n}.md`]: `# File ${n}\n` });
    await scene.plant({ "keys/server.pem": "x", ".env": "TOKEN=x", "photo.xyz": "?" });
  }, limit);
  afterEach(async () => {
    await Promise.all(running.map((one) => one[Symbol.asyncDispose]()));
    await scene[Symbol.asyncDispose]();
  });

  function cli(...args: string[]): CommandLine {
    const one = new CommandLine(args, { MAHAVISHNU_INGESTION_ADDRESS: scene.address });
    running.push(one);
    return one;
  }

  const ingest = (...options: string[]) =>
    cli("ingest", scene.folder, "--repo", "repo", ...options);

  async function expectAllStored(): Promise<void> {
    const { rows } = await database()
      .open()
      .query<{ path: string }>("select metadata ->> 'file_path' as path from memories");
    expect(rows).toHaveLength(fileCount);
    expect(new Set(rows.map(({ path }) => path)).size).toBe(fileCount);
  }

  async function statusOf(ingestionId: string): Promise<IngestionStatus | undefined> {
    return (await scene.process.client.getIngestion({ ingestionId })).ingestion?.status;
  }

  it(
    "tells people what was stored and what was passed over, and why",
    async () => {
      await scene.plant({ "notes.md": `# Notes\n\n${sampleTokens()["npm token"]}\n` });
      const command = ingest();
      expect(await command.exit).toBe(0);
      const text = command.stdout.join("\n");
      expect(text).toMatch(/secret_found +1 +a token or private key stands in it/);
      expect(text).toMatch(/notes\.md +line 3: npm token/);
      expect(text).not.toMatch(/npm_\w/);
      expect(text).toMatch(/^Ingestion \S+ completed in /);
      expect(text).toMatch(/chunks stored +40 /);
      expect(text).toMatch(/secret +2 +may hold credentials +\.env, keys\/server\.pem/);
      expect(text).toMatch(/file_type +1 .*photo\.xyz/);
      // No terminal, so nothing is drawn.
      expect(command.stdout.concat(command.stderr).join("")).not.toContain("\x1b[");
    },
    limit,
  );

  it(
    "tells programs one object a line, and nothing else",
    async () => {
      const { reached, release } = scene.holdAfter(3);
      const command = ingest("--json");
      await reached;
      const { ingestion_id } = await command.event(
        "progress",
        (one) => Number(one["files_done"]) > 0,
      );
      release();
      expect(await command.exit).toBe(0);
      expect(command.stderr).toEqual([]);
      expect(command.events.at(-1)).toMatchObject({
        event: "done",
        ingestion_id,
        status: "completed",
        stage: "done",
        files_total: fileCount,
        files_read: fileCount,
        files_done: fileCount,
        files_failed: 0,
        chunks_split: fileCount,
        chunks_embedded: fileCount,
        chunks_stored: fileCount,
        chunks_unchanged: 0,
        chunks_deleted: 0,
        files_skipped: { secret: 2, file_type: 1 },
        skipped_examples: expect.arrayContaining([{ path: ".env", reason: "secret" }]),
        errors: [],
        message: "",
      });
    },
    limit,
  );

  it(
    "reattaches to an ingestion whose service was killed",
    async () => {
      const command = ingest("--json");
      let hold = scene.holdAfter(4);
      for (let deaths = 0; deaths < 2; deaths++) {
        await hold.reached;
        const told = command.events.length;
        await scene.process.end("SIGKILL");
        hold.release();
        await command.event("lost", () => true, told);
        hold = scene.holdAfter(3);
        await scene.start();
        await command.event("attached", () => true, told);
      }
      hold.release();
      expect(await command.exit).toBe(0);
      const ids = new Set(command.events.map((one) => one["ingestion_id"]));
      expect(ids.size).toBe(1);
      expect(command.events.at(-1)).toMatchObject({ event: "done", chunks_stored: fileCount });
      await expectAllStored();
    },
    limit,
  );

  it(
    "gives up after a while, and the ingestion goes on without it",
    async () => {
      const { reached, release } = scene.holdAfter(3);
      const command = ingest("--json", "--reattach", "1");
      await reached;
      const { ingestion_id } = await command.event("progress");
      await scene.process.end("SIGKILL");
      release();
      expect(await command.exit).toBe(4);
      expect(command.stderr.join("\n")).toContain(`ingestions watch ${ingestion_id}`);
      await scene.start();
      const watching = cli("ingestions", "watch", String(ingestion_id), "--json");
      expect(await watching.exit).toBe(0);
      expect(watching.events.at(-1)).toMatchObject({ ingestion_id, status: "completed" });
      await expectAllStored();
    },
    limit,
  );

  it(
    "cancels at Ctrl-C, once whoever passes it on, and says so",
    async () => {
      const { reached, release } = scene.holdAfter(3);
      const command = ingest("--json");
      await reached;
      const { ingestion_id } = await command.event("progress");
      command.interrupt();
      command.interrupt();
      await command.event("cancelling");
      release();
      expect(await command.exit).toBe(130);
      expect(command.events.at(-1)).toMatchObject({
        event: "done",
        ingestion_id,
        status: "cancelled",
      });
      expect(await statusOf(String(ingestion_id))).toBe(IngestionStatus.CANCELLED);
    },
    limit,
  );

  it(
    "leaves at a second Ctrl-C, where the service does not answer the first one",
    async () => {
      const { reached, release } = scene.holdAfter(3);
      const command = ingest("--json");
      await reached;
      await command.event("progress");
      scene.process.signal("SIGSTOP");
      command.interrupt();
      await command.event("cancelling");
      // Repeats within a second are one.
      const left = command.event("left");
      const again = setInterval(() => command.interrupt(), 200);
      expect(await left.finally(() => clearInterval(again))).toMatchObject({
        cancel_requested: true,
      });
      expect(await command.exit).toBe(130);
      scene.process.signal("SIGCONT");
      release();
    },
    limit,
  );

  it(
    "starts detached, is in nobody's way, and is followed and left from elsewhere",
    async () => {
      const { reached, release } = scene.holdAfter(3);
      const detached = ingest("--detach", "--json");
      expect(await detached.exit).toBe(0);
      const id = String(detached.events[0]?.["ingestion_id"]);
      await reached;
      const second = ingest("--wait", "0");
      expect(await second.exit).toBe(1);
      expect(second.stderr.join("\n")).toContain(`ingestions watch ${id}`);
      const onlooker = cli("ingestions", "watch", id, "--json");
      await onlooker.event("progress");
      onlooker.interrupt();
      expect(await onlooker.exit).toBe(130);
      expect(onlooker.events.at(-1)).toMatchObject({ event: "left", cancel_requested: false });
      expect(await statusOf(id)).toBe(IngestionStatus.IN_PROGRESS);
      release();
      expect(await cli("ingestions", "watch", id).exit).toBe(0);
      await expectAllStored();
    },
    limit,
  );

  it(
    "lists, shows, cancels and deletes",
    async () => {
      const { reached, release } = scene.holdAfter(2);
      const detached = ingest("--detach", "--json");
      await detached.exit;
      const id = String(detached.events[0]?.["ingestion_id"]);
      await reached;
      const json = async (...args: string[]): Promise<Record<string, unknown>> => {
        const command = cli(...args, "--json");
        expect(await command.exit).toBe(0);
        return JSON.parse(command.stdout.join("\n"));
      };
      expect(await json("ingestions", "list", "--status", "in_progress")).toMatchObject({
        ingestions: [{ id, repo_id: "repo", path: scene.folder, status: "in_progress" }],
        more: false,
      });
      expect(await json("ingestions", "--repo", "another")).toEqual({
        ingestions: [],
        more: false,
      });
      expect(await json("ingestions", "cancel", id)).toMatchObject({ id, status: "cancelled" });
      release();
      expect(await ingest().exit).toBe(0);
      const table = cli("ingestions");
      expect(await table.exit).toBe(0);
      expect(table.stdout.join("\n")).toMatch(/repo +completed[\s\S]*repo +cancelled/);
      const shown = cli("ingestions", "show", id);
      expect(await shown.exit).toBe(0);
      expect(shown.stdout.join("\n")).toContain("may hold credentials");
      expect(await cli("ingestions", "show", "nobody").exit).toBe(1);
      expect(await cli("repository", "delete", "repo").exit).toBe(2);
      expect(await json("repository", "delete", "repo", "--yes")).toEqual({
        repo_id: "repo",
        deleted_chunks: fileCount,
        deleted_ingestions: 2,
      });
      expect(await json("ingestions")).toEqual({ ingestions: [], more: false });
    },
    limit,
  );
});
