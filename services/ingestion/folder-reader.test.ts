import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { endless } from "../../test/harness/endless-text.ts";
import { FolderReader, FolderThreads, stampAt } from "./folder-reader.ts";
import { comparePaths } from "./repository-walk.ts";

const maxFileBytes = 16 * 1024 * 1024;
let root: string;
let threads: FolderThreads | undefined;

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "mahavishnu-reader-")));
});
afterEach(async () => {
  await threads?.[Symbol.asyncDispose]();
  threads = undefined;
  await rm(root, { recursive: true, force: true });
});

async function plant(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
}

async function open(planMs = 60_000, signal = new AbortController().signal) {
  threads ??= new FolderThreads({ maxFileBytes, planMs });
  const key = { tenant: "t", repoId: "r" };
  const settings = { include: [], exclude: [], chunkSize: 1_024, chunkOverlap: 20 };
  return await FolderReader.open(threads, { key, root, maxFileBytes, ...settings }, signal);
}

describe("FolderReader", () => {
  it("walks in the order of bytes, and tells of the checkout", async () => {
    const names = ["a-b/x.md", "a.md", "a/x.md", "a/b/y.md", "b.md", "ä.md", "\ufb00.md", "😀.md"];
    await plant(Object.fromEntries(names.map((name) => [name, "x"])));
    await plant({ ".git/HEAD": "c".repeat(40), ".gitignore": "b.md" });
    const { reader, commit } = await open();
    using _reader = reader;
    const paths: string[] = [];
    for await (const page of reader.walk()) {
      for (const [index, path] of page.paths.entries()) {
        expect(stampAt(page.stamps, index).size).toBe(1n);
        paths.push(path);
      }
    }
    const bytewise = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect(names.toSorted(comparePaths)).toEqual(bytewise);
    expect(paths).toEqual(bytewise.filter((name) => name !== "b.md"));
    expect(commit).toBe("c".repeat(40));
  });

  it("reads, splits, and does not split what it is told is known", async () => {
    await plant({ "a.md": "# A\n", "b.md": "# B\n", "c.md": "\0\x01\x02\x03" });
    const { reader } = await open();
    using _reader = reader;
    const first = await reader.plan(
      ["a.md", "b.md", "c.md", "none.md"].map((path) => ({ path, hash: undefined })),
    );
    expect(first.outcomes).toMatchObject([
      { kind: "planned", file: { path: "a.md", chunks: [{ content: "# A", startLine: 1 }] } },
      { kind: "planned", file: { path: "b.md" } },
      { kind: "planned", file: { path: "c.md", skipped: "binary", chunks: [] } },
      { kind: "absent" },
    ]);
    const [a] = first.outcomes;
    const hash = a?.kind === "planned" ? a.file.hash : undefined;
    const again = await reader.plan([{ path: "a.md", hash }]);
    expect(again.outcomes).toMatchObject([{ kind: "unchanged" }]);
  });

  it("fails a file alone that takes too long, and goes on in another thread", async () => {
    await plant({ "a.md": "# A\n", "slow.md": endless(), "z.md": "# Z\n" });
    const { reader } = await open(3_000);
    using _reader = reader;
    const wanted = (...paths: string[]) =>
      reader.plan(paths.map((path) => ({ path, hash: undefined })));
    const both = await Promise.all([wanted("a.md", "slow.md"), wanted("z.md")]);
    expect(both.map(({ outcomes }) => outcomes.map(({ kind }) => kind))).toEqual([
      ["planned", "failed"],
      ["planned"],
    ]);
    expect(both[0]?.outcomes[1]).toMatchObject({ error: { path: "slow.md", kind: "internal" } });
    expect((await wanted("z.md")).outcomes).toMatchObject([{ kind: "planned" }]);
  }, 60_000);

  it("waits for nothing once it is told to stop, whatever the thread does", async () => {
    await plant({ "slow.md": endless() });
    const stop = new AbortController();
    const { reader } = await open(60_000, stop.signal);
    using _reader = reader;
    const planning = reader.plan([{ path: "slow.md", hash: undefined }]);
    stop.abort(new Error("stop"));
    await expect(planning).rejects.toThrow("stop");
  });
});
