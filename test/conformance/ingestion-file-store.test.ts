import { beforeAll, expect, it } from "vitest";
import { type FileStamp, stampText } from "../../services/ingestion/repository-walk.ts";
import type { IngestedFile, Writer } from "../../services/ingestion/store.ts";
import { newId } from "../../shared/ids.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { IngestionStores, newLease } from "./ingestion-stores.ts";

describeEachStore("the store of ingestions", (_, database) => {
  let stores: IngestionStores;

  beforeAll(() => {
    stores = new IngestionStores(database().open());
  });

  const stamp: FileStamp = {
    size: 5n,
    mtimeNs: 1_790_000_000_123_456_789n,
    ctimeNs: 7n,
    inode: -1n,
  };
  const chunks = [
    { id: "c1", startLine: 1, endLine: 4 },
    { id: "c2", startLine: 4, endLine: 9 },
  ];
  const file: IngestedFile = {
    path: 'dir/ä "quoted" {}.md',
    stamp,
    hash: "ab".repeat(32),
    recipe: "1:1024:20:model",
    skipped: undefined,
    storedCount: 1,
    chunks,
  };

  /** The writer of an ingestion that a process works on. */
  async function newWriter(repoId: string, pushed = false): Promise<Writer> {
    const lease = newLease();
    const { key: one } = await stores.create(repoId, { kind: "documents", lease });
    return { ingestionId: one.id, token: lease.token, pushed };
  }

  async function complete(repoId: string, done: readonly IngestedFile[], writer: Writer) {
    await stores.files.take(
      stores.key(repoId),
      writer,
      done.map(({ path }) => ({ path, ids: [] })),
    );
    return stores.files.complete(stores.key(repoId), writer, done);
  }

  it("remembers files to the nanosecond, and their chunks in order", async () => {
    const writer = await newWriter("files");
    const binary = { ...file, path: "b.md", stamp: undefined, skipped: "binary", chunks: [] };
    expect(await complete("files", [file, binary], writer)).toBe(2);
    const { chunks: _, ...known } = { ...file, ingestionId: writer.ingestionId };
    expect(
      await stores.files.knownFiles(stores.key("files"), ["b.md", file.path, "unknown"]),
    ).toEqual(
      new Map([
        ["b.md", { ...known, path: "b.md", stamp: undefined, skipped: "binary", chunkCount: 0 }],
        [file.path, { ...known, chunkCount: 2 }],
      ]),
    );
    expect(await stores.files.chunkTotal(stores.key("files"))).toBe(2);
    expect(await stores.files.chunkTotal(stores.key("none"))).toBe(0);
    const found = await stores.files.chunksOf(stores.key("files"), [file.path, "unknown.md"]);
    expect(found).toEqual(new Map([[file.path, { recipe: file.recipe, chunks, pendingIds: [] }]]));
    const later = { ...stamp, ctimeNs: 8n };
    await stores.files.restamp(stores.key("files"), [{ path: file.path, stamp: later }]);
    const again = await stores.files.knownFiles(stores.key("files"), [file.path]);
    expect(again.get(file.path)?.stamp).toEqual(later);
    const elsewhere = { tenant: newId(), repoId: "files" };
    expect(await stores.files.knownFiles(elsewhere, [file.path])).toEqual(new Map());
  });

  it("keeps what is announced until the file is complete", async () => {
    const writer = await newWriter("plan");
    const take = (ids: readonly string[]) =>
      stores.files.take(stores.key("plan"), writer, [{ path: file.path, ids }]);
    await take(["x", "y"]);
    expect(
      (await stores.files.knownFiles(stores.key("plan"), [file.path])).get(file.path),
    ).toMatchObject({
      hash: "",
      recipe: "",
      chunkCount: 0,
    });
    const taken = await take(["y", "z"]);
    expect([...(taken.get(file.path)?.pendingIds ?? [])].sort()).toEqual(["x", "y", "z"]);
    expect(await stores.files.complete(stores.key("plan"), writer, [file])).toBe(1);
    expect((await take([])).get(file.path)).toEqual({
      recipe: file.recipe,
      chunks,
      pendingIds: [],
    });
  });

  it("lets one writer have a file, until it leaves it or its lease lapses", async () => {
    const wanted = [{ path: file.path, ids: [] }];
    const gets = async (writer: Writer) =>
      (await stores.files.take(stores.key("taken"), writer, wanted)).has(file.path);
    const first = await newWriter("taken");
    const second = await newWriter("taken");
    expect(await gets(first)).toBe(true);
    expect(await gets(second)).toBe(false);
    expect(await stores.files.complete(stores.key("taken"), second, [file])).toBe(0);
    // Another hold of the same ingestion.
    const again = { ...first, token: newId() };
    await stores.postgres.query("update rag_ingestions set lease_token = $2 where id = $1", [
      first.ingestionId,
      again.token,
    ]);
    expect(await gets(again)).toBe(true);
    expect(await stores.files.complete(stores.key("taken"), first, [file])).toBe(0);
    await stores.files.leave(stores.key("taken"), again, [file.path]);
    expect(await gets(second)).toBe(true);
    await stores.lapse(second.ingestionId);
    expect(await gets(again)).toBe(true);
    expect(await stores.files.complete(stores.key("taken"), again, [file])).toBe(1);
    expect(await gets(second)).toBe(true);
    expect(await stores.jobs.deleteRepository(stores.key("taken"))).toBe(2);
  });

  it("tells files of folders from those that clients sent", async () => {
    const paths = ["a", "b", "c", "d"];
    const ofFolder = paths.map((path) => ({ ...file, path }));
    await complete("sources", ofFolder, await newWriter("sources"));
    const sent = await newWriter("sources", true);
    await complete("sources", [{ ...file, path: "b" }], sent);
    const asks = { recipe: file.recipe, ingestionId: sent.ingestionId };
    const ofFiles = { stamp: stampText(stamp), isCurrent: true, chunkCount: 2, skipped: undefined };
    expect(await stores.files.listFiles(stores.key("sources"), asks, "", 10)).toEqual(
      paths.map((path) => {
        const isOwn = path === "b";
        return { ...ofFiles, path, isPushed: isOwn, isOwn, ownCount: isOwn ? 1 : 0 };
      }),
    );
    const others = { recipe: "another", ingestionId: newId() };
    expect(await stores.files.listFiles(stores.key("sources"), others, "a", 1)).toMatchObject([
      { path: "b", isCurrent: false, isOwn: false, ownCount: 0 },
    ]);
    await stores.files.forget(stores.key("sources"), paths);
    expect([...(await stores.files.knownFiles(stores.key("sources"), paths)).keys()]).toEqual([
      "b",
    ]);
  });

  it("forgets files, and whole repositories of one tenant", async () => {
    const both = [file, { ...file, path: "b.md" }];
    const paths = both.map(({ path }) => path);
    const elsewhere = { tenant: newId(), repoId: "gone" };
    const writer = await newWriter("gone");
    await complete("gone", both, writer);
    await stores.files.take(
      elsewhere,
      writer,
      paths.map((path) => ({ path, ids: [] })),
    );
    await stores.files.forget(stores.key("gone"), ["b.md", "unknown.md"]);
    expect([...(await stores.files.knownFiles(stores.key("gone"), paths)).keys()]).toEqual([
      file.path,
    ]);
    const { key: run } = await stores.begin("gone");
    expect(await stores.jobs.deleteRepository(stores.key("gone"))).toBe(2);
    expect(await stores.jobs.get(run)).toBeUndefined();
    expect(await stores.files.knownFiles(stores.key("gone"), paths)).toEqual(new Map());
    expect((await stores.files.knownFiles(elsewhere, paths)).size).toBe(2);
    expect(await stores.jobs.deleteRepository(stores.key("gone"))).toBe(0);
  });
});
