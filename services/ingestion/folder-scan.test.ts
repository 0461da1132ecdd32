import { describe, expect, it } from "vitest";
import type { FoundPage } from "./folder-reader.ts";
import { scanFolder } from "./folder-scan.ts";
import { comparePaths, type FileStamp, stampText } from "./repository-walk.ts";
import type { ListedFile } from "./store.ts";
import { Tally } from "./tally.ts";

const stamp: FileStamp = { size: 5n, mtimeNs: 2n ** 60n, ctimeNs: 7n, inode: -1n };

function known(path: string, more: Partial<ListedFile> = {}): ListedFile {
  return {
    path,
    stamp: stampText(stamp),
    isCurrent: true,
    isPushed: false,
    skipped: undefined,
    chunkCount: 1,
    ownCount: 0,
    isOwn: false,
    ...more,
  };
}

function page(paths: readonly string[], more: Partial<FoundPage> = {}): FoundPage {
  const { size, mtimeNs, ctimeNs, inode } = stamp;
  const stamps = new BigInt64Array(paths.flatMap(() => [size, mtimeNs, ctimeNs, inode]));
  return { paths, stamps, skipped: {}, failed: [], done: false, ...more };
}

async function scan(pages: readonly FoundPage[], files: readonly ListedFile[], trusted = true) {
  const tally = new Tally();
  const unchanged: string[] = [];
  const scanned = await scanFolder({
    found: (async function* () {
      yield* pages;
    })(),
    listed: async (after, limit) =>
      files.filter(({ path }) => comparePaths(path, after) > 0).slice(0, limit),
    trusted,
    tally,
    onUnchanged: ({ path }) => unchanged.push(path),
  });
  const changed = [...scanned.changed].map(({ path }) => path);
  const gone = [...scanned.gone].map(({ path }) => path);
  return { tally, unchanged, changed, gone, unseen: scanned.unseen };
}

describe("scanFolder", () => {
  it("tells what is new, changed, as it was, and gone", async () => {
    const files = [
      known("a"),
      known("b", { stamp: stampText({ ...stamp, inode: 2n }) }),
      known("c", { stamp: undefined }),
      known("d", { isCurrent: false }),
      known("gone"),
      known("pushed", { isPushed: true }),
      known("z"),
    ];
    const found = await scan([page(["a", "b"]), page([]), page(["c", "d", "new", "z"])], files);
    expect(found).toMatchObject({
      unchanged: ["a", "z"],
      changed: ["b", "c", "d", "new"],
      gone: ["gone"],
    });
    expect(found.tally.filesTotal).toBe(6);
  });

  it("does all again where nothing can be relied on, and still tells what is gone", async () => {
    const found = await scan([page(["b"])], [known("a"), known("b"), known("c")], false);
    expect(found).toMatchObject({ unchanged: [], changed: ["b"], gone: ["a", "c"] });
  });

  it("finds everything in long lists, whatever their pages", async () => {
    const paths = Array.from({ length: 12_000 }, (_, n) => `${n}`.padStart(6, "0"));
    const files = paths.filter((_, n) => n % 3 !== 0).map((path) => known(path));
    const there = paths.filter((_, n) => n % 5 !== 0);
    const pages = Array.from({ length: 25 }, (_, n) => page(there.slice(n * 400, n * 400 + 400)));
    const found = await scan(pages, files);
    expect(found.unchanged).toEqual(there.filter((path) => Number(path) % 3 !== 0));
    expect(found.changed).toEqual(there.filter((path) => Number(path) % 3 === 0));
    expect(found.gone).toEqual(
      files.map(({ path }) => path).filter((path) => Number(path) % 5 === 0),
    );
  });

  it("counts what is passed over, and what cannot be looked at as failed", async () => {
    const error = {
      path: "shut",
      kind: "permission_denied",
      reason: "PATH_REFUSED",
      message: "cannot be read",
    } as const;
    const failed = [{ path: "shut", error }];
    const skipped = {
      secret: { count: 2, examples: ["key", "token"] },
      binary: { count: 1, examples: ["image"] },
    };
    const found = await scan([page(["a"], { failed, skipped }), page([], { skipped })], []);
    expect(found).toMatchObject({ changed: ["a"], unseen: ["shut"] });
    expect(found.tally.snapshot()).toMatchObject({
      filesTotal: 2,
      filesDone: 1,
      filesFailed: 1,
      errors: [error],
      filesSkipped: { secret: 4, binary: 2 },
    });
  });
});
