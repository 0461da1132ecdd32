import { lstat, rename, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { IngestionStatus } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { describeIngestion, twoParts } from "./ingestion-suite.ts";

const { COMPLETED } = IngestionStatus;

describeIngestion((scene) => {
  it("does nothing where nothing changed", async () => {
    await scene.folder.plant({
      "a.md": twoParts("# A", "# B"),
      "b.md": "# B\n",
      "c.md": "\0\0\0\x01",
    });
    const first = await scene.run();
    const { upsert, embed } = scene.peers.calls;
    for (let again = 0; again < 3; again++) {
      expect(await scene.run()).toMatchObject({
        status: COMPLETED,
        filesDone: first.filesDone,
        chunksStored: 0n,
        chunksUnchanged: first.chunksStored,
        chunksDeleted: 0n,
        filesSkipped: first.filesSkipped,
      });
    }
    expect(scene.peers.calls).toMatchObject({ upsert, embed });
    expect(scene.peers.documents.size).toBe(Number(first.chunksStored));
  });

  it("sees a change that keeps size and time, and one in the tick in which it read", async () => {
    await scene.folder.plant({ "a.md": "# One\n", "b.md": "# Old\n" });
    const time = new Date(Date.now() - 3_600_000);
    await utimes(join(scene.folder.path, "a.md"), time, time);
    await scene.run();
    await scene.folder.plant({ "a.md": "# Two\n" });
    await utimes(join(scene.folder.path, "a.md"), time, time);
    // Another file in its place, as editors save.
    await scene.folder.plant({ "c.md.new": "# New\n" });
    await rename(join(scene.folder.path, "c.md.new"), join(scene.folder.path, "b.md"));
    expect(await scene.run()).toMatchObject({ chunksStored: 2n, chunksDeleted: 2n });
    expect(scene.peers.storedOf("a.md")).toMatchObject([{ content: "# Two" }]);
    expect(scene.peers.storedOf("b.md")).toMatchObject([{ content: "# New" }]);
  });

  it("reads no file again that it knows, and forgets none of them", async () => {
    const names = Array.from({ length: 40 }, (_, n) => `${n % 3 === 0 ? "d-x/" : "d/"}${n}.md`);
    await scene.folder.plant(Object.fromEntries(names.map((name) => [name, `# ${name}\n`])));
    await scene.run();
    // As if they had been read long ago: without that, they are read once more.
    const look = scene.database().open();
    await look.query("update rag_files set file_hash = 'unread' where tenant = $1", [scene.tenant]);
    for (const name of names) {
      const { size, mtimeNs, ctimeNs, ino } = await lstat(join(scene.folder.path, name), {
        bigint: true,
      });
      await look.query(
        `update rag_files set size_bytes = $3, mtime_ns = $4, ctime_ns = $5, inode = $6
         where tenant = $1 and path = $2`,
        [scene.tenant, name, size, mtimeNs, ctimeNs, BigInt.asIntN(64, ino)],
      );
    }
    expect(await scene.run()).toMatchObject({
      filesTotal: 40n,
      filesDone: 40n,
      chunksStored: 0n,
      chunksUnchanged: 40n,
      chunksDeleted: 0n,
    });
    const { rows } = await look.query<{ path: string }>(
      "select path from rag_files where tenant = $1 and file_hash <> 'unread'",
      [scene.tenant],
    );
    expect(rows).toEqual([]);
  });

  it("replaces what changed, keeps what did not, and cleans up what is gone", async () => {
    const chunks = { chunkSize: 128, chunkOverlap: 0 };
    await scene.folder.plant({
      "a.md": twoParts("# A", "# B"),
      "b.md": "# B\n",
      "old.md": "# Old\n",
    });
    await scene.run(chunks);
    const before = scene.peers.storedOf("a.md");
    expect(before.length).toBe(2);
    await scene.folder.plant({ "a.md": twoParts("# A", "# Changed") });
    await rm(join(scene.folder.path, "b.md"));
    await rename(join(scene.folder.path, "old.md"), join(scene.folder.path, "new.md"));
    expect(await scene.run(chunks)).toMatchObject({
      status: COMPLETED,
      chunksStored: 2n,
      chunksUnchanged: 1n,
      chunksDeleted: 3n,
    });
    const after = scene.peers.storedOf("a.md");
    expect(after.map(({ id }) => id)).toContain(before[0]?.id);
    expect(after.map(({ id }) => id)).not.toContain(before[1]?.id);
    expect(scene.peers.storedOf("b.md")).toEqual([]);
    expect(scene.peers.storedOf("old.md")).toEqual([]);
    expect(scene.peers.storedOf("new.md")).toHaveLength(1);
  });

  it("renews the lines of passages that moved", async () => {
    await scene.folder.plant({ "a.md": "# A\n" });
    await scene.run();
    const [before] = scene.peers.storedOf("a.md");
    await scene.folder.plant({ "a.md": "\n\n# A\n" });
    expect(await scene.run()).toMatchObject({ chunksStored: 1n, chunksDeleted: 0n });
    expect(scene.peers.storedOf("a.md")).toMatchObject([
      { id: before?.id, metadata: { start_line: 3, end_line: 3 } },
    ]);
  });

  it("chunks anew when asked for another size, and stores anew what somebody deleted", async () => {
    await scene.folder.plant({ "a.md": twoParts("# A", "# B") });
    await scene.run();
    expect(scene.peers.documents.size).toBe(1);
    expect(await scene.run({ chunkSize: 64 })).toMatchObject({
      chunksUnchanged: 0n,
      chunksDeleted: 1n,
    });
    const { size } = scene.peers.documents;
    expect(size).toBeGreaterThan(2);
    scene.peers.documents.clear();
    expect(await scene.run({ chunkSize: 64 })).toMatchObject({ chunksStored: BigInt(size) });
    expect(scene.peers.documents.size).toBe(size);
  });

  it("leaves alone what the request's patterns leave out", async () => {
    await scene.folder.plant({ "a.md": "# A\n", "src/b.ts": "let b = 1;\n" });
    await scene.run();
    await scene.folder.plant({ "a.md": "# A2\n" });
    expect(await scene.run({ include: ["*.md"] })).toMatchObject({
      chunksStored: 1n,
      chunksDeleted: 1n,
    });
    expect(await scene.run({ exclude: ["src/"] })).toMatchObject({ chunksDeleted: 0n });
    expect(scene.peers.storedOf("src/b.ts")).toHaveLength(1);
  });
});
