import { beforeAll, expect, it } from "vitest";
import { noProgress, type Progress } from "../../services/ingestion/ingestion.ts";
import { PostgresIngestionStore } from "../../services/ingestion/postgres-store.ts";
import type { FileStamp } from "../../services/ingestion/repository-walk.ts";
import type { IngestedFile, IngestionStore, Owner } from "../../services/ingestion/store.ts";
import { newId } from "../../shared/ids.ts";
import { describeEachStore } from "../harness/postgres.ts";

const owner: Owner = { host: "here", pid: 1, life: newId() };
const other: Owner = { host: "there", pid: 2, life: newId() };
const settings = { include: ["*.md"], exclude: [], chunkSize: 512, chunkOverlap: 10 };
const progress: Progress = {
  stage: "ingesting",
  filesTotal: 5,
  filesDone: 3,
  filesFailed: 1,
  chunksStored: 7,
  chunksUnchanged: 2,
  chunksDeleted: 4,
  filesSkipped: { binary: 2, secret: 1 },
  errors: [
    { path: "a.md", kind: "permission_denied", reason: "PATH_REFUSED", message: "cannot be read" },
  ],
};

describeEachStore("IngestionStore", (_, database) => {
  let store: IngestionStore;
  let tenant: string;

  beforeAll(() => {
    tenant = newId();
    store = new PostgresIngestionStore(database().open());
  });

  function key(repoId = "repo") {
    return { tenant, repoId };
  }

  async function begin(repoId = "repo", path = `/src/${repoId}`, by = owner) {
    const id = newId();
    const running = await store.create({ tenant, repoId, id, path, settings, owner: by });
    return { key: { tenant, id }, running };
  }

  async function finish(id: string) {
    const outcome = { status: "completed", progress, message: "" } as const;
    await store.end({ tenant, id }, owner, outcome);
  }

  it("records an ingestion from its beginning to its end", async () => {
    const { key } = await begin("whole");
    expect(await store.get(key)).toMatchObject({
      id: key.id,
      repoId: "whole",
      path: "/src/whole",
      settings,
      status: "pending",
      progress: noProgress,
      message: "",
      startTime: undefined,
      endTime: undefined,
    });
    expect(await store.start(key, owner)).toBe("ours");
    expect(await store.beat(key, owner, progress)).toBe("ours");
    expect(await store.get(key)).toMatchObject({ status: "in_progress", progress });
    const outcome = { status: "failed", progress, message: "why" } as const;
    await store.end(key, owner, outcome);
    const ended = await store.get(key);
    expect(ended).toMatchObject(outcome);
    expect(ended?.endTime).toBeInstanceOf(Date);
    // Once only.
    await store.end(key, owner, { ...outcome, status: "completed" });
    expect((await store.get(key))?.status).toBe("failed");
    expect(await store.beat(key, owner, progress)).toBe("lost");
  });

  it("lets one ingestion of a repository run at a time, each tenant for itself", async () => {
    const first = await begin("busy");
    expect(first.running).toBeUndefined();
    const second = await begin("busy");
    expect(second.running).toMatchObject({ id: first.key.id, tenant, owner });
    expect(second.running?.silentMs).toBeLessThan(60_000);
    expect(await store.get(second.key)).toBeUndefined();
    const elsewhere = { tenant: newId(), repoId: "busy", id: newId(), path: "/x", settings, owner };
    expect(await store.create(elsewhere)).toBeUndefined();
    await finish(first.key.id);
    const third = await begin("busy");
    expect(third.running).toBeUndefined();
    await finish(third.key.id);
  });

  it("lets one of many that begin at once win", async () => {
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => begin("race")));
    const winners = outcomes.filter(({ running }) => running === undefined);
    expect(winners).toHaveLength(1);
    const id = winners[0]?.key.id;
    expect(outcomes.every(({ running }) => running === undefined || running.id === id)).toBe(true);
    await finish(id ?? "");
  });

  it("tells an owner that it was taken for dead, and asked to stop", async () => {
    const { key } = await begin("taken");
    await store.start(key, owner);
    expect(await store.start(key, other)).toBe("lost");
    expect(await store.beat(key, other, progress)).toBe("lost");
    await store.requestCancel(key);
    expect(await store.beat(key, owner, progress)).toBe("cancel_requested");
    const found = (await store.running()).find(({ id }) => id === key.id);
    expect(found).toMatchObject({ ...key, owner });
    if (found === undefined) return;
    expect(await store.interrupt(found, "interrupted")).toBe(true);
    expect(await store.interrupt(found, "interrupted")).toBe(false);
    expect(await store.beat(key, owner, progress)).toBe("lost");
    expect(await store.get(key)).toMatchObject({ status: "failed", message: "interrupted" });
    expect((await store.running()).some(({ id }) => id === key.id)).toBe(false);
  });

  it("lists newest first, in pages, by repository and status", async () => {
    const ids: string[] = [];
    for (const repoId of ["l1", "l2", "l1", "l1"]) {
      const { key } = await begin(repoId);
      ids.unshift(key.id);
      await finish(key.id);
    }
    const list = async (filter: { repoId?: string; before?: string; limit?: number }) =>
      (
        await store.list(tenant, {
          repoId: filter.repoId ?? "",
          status: "completed",
          limit: filter.limit ?? 100,
          before: filter.before,
        })
      ).map(({ id }) => id);
    expect((await list({})).slice(0, 4)).toEqual(ids);
    expect(await list({ repoId: "l1" })).toEqual([ids[0], ids[1], ids[3]]);
    expect(await list({ repoId: "l1", limit: 1, before: ids[0] ?? "" })).toEqual([ids[1]]);
    const running = { repoId: "l1", status: "in_progress", limit: 9, before: undefined } as const;
    expect(await store.list(tenant, running)).toEqual([]);
    expect(await store.list(newId(), { ...running, status: undefined })).toEqual([]);
  });

  it("knows where a repository was read last", async () => {
    expect(await store.lastPath(key("moved"))).toBeUndefined();
    for (const path of ["/old", "/new", ""]) {
      const { key } = await begin("moved", path);
      await finish(key.id);
    }
    expect(await store.lastPath(key("moved"))).toBe("/new");
  });

  const stamp: FileStamp = { size: 5n, mtimeNs: 1_790_000_000_123_456_789n, ctimeNs: 7n };
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
    chunks,
  };

  it("remembers files to the nanosecond, and their chunks in order", async () => {
    const binary = { ...file, path: "b.md", stamp: undefined, skipped: "binary", chunks: [] };
    await store.complete(key("files"), "ing", [file, binary]);
    const { chunks: _, ...known } = file;
    expect(await store.knownFiles(key("files"))).toEqual(
      new Map([
        ["b.md", { ...known, path: "b.md", stamp: undefined, skipped: "binary", chunkCount: 0 }],
        [file.path, { ...known, chunkCount: 2 }],
      ]),
    );
    const found = await store.chunksOf(key("files"), [file.path, "unknown.md"]);
    expect(found).toEqual(new Map([[file.path, { chunks, pendingIds: [] }]]));
    const later = { ...stamp, ctimeNs: 8n };
    await store.restamp(key("files"), [{ path: file.path, stamp: later }]);
    expect((await store.knownFiles(key("files"))).get(file.path)?.stamp).toEqual(later);
    expect(await store.knownFiles({ tenant: newId(), repoId: "files" })).toEqual(new Map());
  });

  it("keeps what is announced until the file is complete", async () => {
    await store.announce(key("plan"), [{ path: file.path, ids: ["x", "y"] }]);
    expect((await store.knownFiles(key("plan"))).get(file.path)).toMatchObject({
      hash: "",
      recipe: "",
      chunkCount: 0,
    });
    await store.announce(key("plan"), [{ path: file.path, ids: ["y", "z"] }]);
    const pendingOf = async () =>
      [
        ...((await store.chunksOf(key("plan"), [file.path])).get(file.path)?.pendingIds ?? []),
      ].sort();
    expect(await pendingOf()).toEqual(["x", "y", "z"]);
    await store.complete(key("plan"), "ing", [file]);
    expect(await pendingOf()).toEqual([]);
  });

  it("forgets files, and whole repositories of one tenant", async () => {
    const elsewhere = { tenant: newId(), repoId: "gone" };
    for (const one of [key("gone"), elsewhere]) {
      await store.complete(one, "ing", [file, { ...file, path: "b.md" }]);
    }
    await store.forget(key("gone"), ["b.md", "unknown.md"]);
    expect([...(await store.knownFiles(key("gone"))).keys()]).toEqual([file.path]);
    const { key: run } = await begin("gone");
    expect(await store.deleteRepository(key("gone"))).toBe(1);
    expect(await store.get(run)).toBeUndefined();
    expect(await store.knownFiles(key("gone"))).toEqual(new Map());
    expect((await store.knownFiles(elsewhere)).size).toBe(2);
    expect(await store.deleteRepository(key("gone"))).toBe(0);
  });
});
