import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { sleep } from "../../shared/lifecycle.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { CommandLine } from "../harness/command-line.ts";
import { IngestionScene } from "../harness/ingestion-scene.ts";
import { describeEachStore } from "../harness/postgres.ts";

const limit = 120_000;
/** Longer than the pause after which a change is ingested. */
const settledMs = 1_500;

describeEachStore("a repository that is kept in step", (_, database) => {
  let postgres: Postgres | undefined;
  let scene: IngestionScene;
  let command: CommandLine;

  beforeEach(async () => {
    postgres ??= database().open({ poolSize: 1 });
    await postgres.query("truncate rag_ingestions, rag_files, memories cascade");
    scene = await IngestionScene.open(database().url);
    await scene.plant({ "a.md": "one", "d/b.md": "two", ".gitignore": "data/\n*.tmp.md\n" });
  }, limit);
  afterEach(async () => {
    await command[Symbol.asyncDispose]();
    await scene[Symbol.asyncDispose]();
  });

  const path = (name: string) => join(scene.folder, name);

  async function watch(...options: string[]): Promise<void> {
    const args = ["ingest", scene.folder, "--repo", "repo", "--watch", "--json", ...options];
    command = new CommandLine(args, { MAHAVISHNU_INGESTION_ADDRESS: scene.address });
    await command.event("watching");
  }

  async function stored(): Promise<Record<string, string>> {
    if (postgres === undefined) throw new Error("the database is not open");
    const { rows } = await postgres.query<{ path: string; content: string }>(
      "select metadata ->> 'file_path' as path, content from memories order by 1",
    );
    return Object.fromEntries(rows.map((one) => [one.path, one.content]));
  }

  async function becomes(expected: Record<string, string>): Promise<void> {
    for (let tries = 0; tries < 600; tries++) {
      if (JSON.stringify(await stored()) === JSON.stringify(expected)) return;
      await sleep(50);
    }
    expect(await stored()).toEqual(expected);
  }

  const runs = () => command.events.filter(({ event }) => event === "done").length;

  it(
    "follows saves, atomic ones too, new folders, renames and deletions",
    async () => {
      await watch();
      await becomes({ "a.md": "one", "d/b.md": "two" });
      await scene.plant({ "a.md": "one again" });
      await becomes({ "a.md": "one again", "d/b.md": "two" });
      // As editors save: a new file takes the place of the old one.
      await writeFile(path(".a.md.swp"), "one, atomic");
      await rename(path(".a.md.swp"), path("a.md"));
      await becomes({ "a.md": "one, atomic", "d/b.md": "two" });
      await scene.plant({ "new/deep/er/c.md": "three" });
      await becomes({ "a.md": "one, atomic", "d/b.md": "two", "new/deep/er/c.md": "three" });
      await rename(path("new"), path("moved"));
      await becomes({ "a.md": "one, atomic", "d/b.md": "two", "moved/deep/er/c.md": "three" });
      await scene.plant({ "moved/deep/er/c.md": "three, where it is now" });
      await becomes({
        "a.md": "one, atomic",
        "d/b.md": "two",
        "moved/deep/er/c.md": "three, where it is now",
      });
      await rm(path("moved"), { recursive: true });
      await rename(path("d/b.md"), path("b.md"));
      await becomes({ "a.md": "one, atomic", "b.md": "two" });
      // Not in the midst of a run, which would be cancelled.
      for (let before = -1; before !== runs(); await sleep(settledMs)) before = runs();
      command.interrupt();
      expect(await command.exit).toBe(0);
    },
    limit,
  );

  it(
    "does not run for what is ignored, and takes in what no longer is",
    async () => {
      await scene.plant({ "data/x.md": "ignored", "node_modules/p/x.md": "ignored" });
      await symlink(path("data"), path("link"));
      await watch("--exclude", "*.draft.md");
      await becomes({ "a.md": "one", "d/b.md": "two" });
      for (let n = 0; n < 5; n++) {
        await scene.plant({
          "data/x.md": `${n}`,
          "data/new/y.md": `${n}`,
          "d/z.tmp.md": `${n}`,
          "d/w.draft.md": `${n}`,
          "node_modules/p/x.md": `${n}`,
          ".git/index": `${n}`,
        });
        await sleep(settledMs / 5);
      }
      await sleep(settledMs);
      expect(runs()).toBe(1);
      await scene.plant({ ".gitignore": "*.tmp.md\n" });
      await becomes({ "a.md": "one", "d/b.md": "two", "data/new/y.md": "4", "data/x.md": "4" });
      // What was taken in is watched from then on.
      await scene.plant({ "data/x.md": "changed" });
      await becomes({
        "a.md": "one",
        "d/b.md": "two",
        "data/new/y.md": "4",
        "data/x.md": "changed",
      });
    },
    limit,
  );

  it(
    "runs more and more seldom for what brings nothing, and at once for what does",
    async () => {
      await watch();
      const end = Date.now() + 8_000;
      for (let n = 0; Date.now() < end; n++) {
        await scene.plant({ "noise.sqlite": `${n}` });
        // Long enough for a run each, if each were worth one.
        await sleep(700);
      }
      // At once, and after 2 and 4 s.
      expect(runs()).toBeLessThanOrEqual(1 + 4);
      await scene.plant({ "noise.sqlite": "more", "a.md": "news" });
      await becomes({ "a.md": "news", "d/b.md": "two" });
    },
    limit,
  );

  it(
    "makes one more run of all that changes during a run",
    async () => {
      await watch();
      const { reached, release } = scene.holdAfter(0);
      await scene.plant({ "a.md": "first" });
      await reached;
      for (let n = 0; n < 20; n++) {
        await scene.plant({ "a.md": `edition ${n}`, [`e${n}.md`]: "new" });
        await sleep(50);
      }
      const before = runs();
      release();
      const editions = Array.from({ length: 20 }, (_, n) => [`e${n}.md`, "new"]);
      await becomes(
        Object.fromEntries(
          [["a.md", "edition 19"], ["d/b.md", "two"], ...editions].sort(([a = ""], [b = ""]) =>
            a < b ? -1 : 1,
          ),
        ),
      );
      await sleep(settledMs);
      expect(runs()).toBe(before + 2);
    },
    limit,
  );

  it(
    "waits for a service that dies, idle and in mid-run",
    async () => {
      await watch("--reattach", "1");
      await scene.process.end("SIGKILL");
      await scene.plant({ "a.md": "while it was away" });
      await command.event("waiting");
      await scene.start();
      await becomes({ "a.md": "while it was away", "d/b.md": "two" });
      const { reached, release } = scene.holdAfter(0);
      await scene.plant({ "a.md": "as it died" });
      await reached;
      await scene.process.end("SIGKILL");
      release();
      await mkdir(path("later"));
      await scene.plant({ "later/c.md": "after it died" });
      await scene.start();
      await becomes({ "a.md": "as it died", "d/b.md": "two", "later/c.md": "after it died" });
    },
    limit,
  );
});
