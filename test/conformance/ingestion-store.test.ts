import { beforeAll, expect, it } from "vitest";
import { noProgress, type Progress } from "../../services/ingestion/ingestion.ts";
import { PostgresFileStore } from "../../services/ingestion/postgres-file-store.ts";
import { PostgresJobStore } from "../../services/ingestion/postgres-job-store.ts";
import { type FileStamp, stampText } from "../../services/ingestion/repository-walk.ts";
import type {
  FileStore,
  IngestedFile,
  JobKind,
  JobStore,
  Lease,
  Writer,
} from "../../services/ingestion/store.ts";
import { newId } from "../../shared/ids.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";

const settings = { include: ["*.md"], exclude: [], chunkSize: 512, chunkOverlap: 10 };
const progress: Progress = {
  stage: "ingesting",
  filesTotal: 5,
  filesRead: 4,
  filesDone: 3,
  filesFailed: 1,
  chunksSplit: 9,
  chunksEmbedded: 8,
  chunksStored: 7,
  chunksUnchanged: 2,
  chunksDeleted: 4,
  filesSkipped: { binary: 2, secret: 1 },
  skippedExamples: [{ path: ".env", reason: "secret" }],
  errors: [
    { path: "a.md", kind: "permission_denied", reason: "PATH_REFUSED", message: "cannot be read" },
  ],
};

const news = { progress, advanced: true };

function newLease(ms = 60_000): Lease {
  return { token: newId(), ms };
}

describeEachStore("the store of ingestions", (_, database) => {
  let postgres: Postgres;
  let jobs: JobStore;
  let files: FileStore;
  let tenant: string;

  beforeAll(() => {
    tenant = newId();
    postgres = database().open();
    jobs = new PostgresJobStore(postgres);
    files = new PostgresFileStore(postgres);
  });

  function key(repoId = "repo") {
    return { tenant, repoId };
  }

  async function create(
    repoId: string,
    { kind = "folder", lease }: { kind?: JobKind; lease?: Lease } = {},
    path = kind === "folder" ? `/src/${repoId}` : "",
  ) {
    const id = newId();
    const other = await jobs.create({ tenant, repoId, id, kind, path, settings, lease });
    return { key: { tenant, id }, other };
  }

  /** One that a process works on. */
  async function begin(repoId: string, path?: string) {
    const lease = newLease();
    return { ...(await create(repoId, { lease }, path)), lease };
  }

  async function finish({ key: { id }, lease }: Awaited<ReturnType<typeof begin>>) {
    await jobs.end({ tenant, id }, lease, { status: "completed", progress, message: "" });
  }

  /** As if its holder had fallen silent long ago. */
  async function lapse(id: string) {
    await postgres.query(
      "update rag_ingestions set lease_until = now() - interval '1 second' where id = $1",
      [id],
    );
  }

  async function claimOnly(repoId: string) {
    const { key: one } = await create(repoId);
    const lease = newLease();
    const claimed = await jobs.claim(lease);
    expect(claimed?.ingestion.id).toBe(one.id);
    return { key: one, lease, claimed };
  }

  it("records an ingestion from its beginning to its end", async () => {
    const { key: one } = await create("whole");
    expect(await jobs.get(one)).toMatchObject({
      id: one.id,
      repoId: "whole",
      path: "/src/whole",
      settings,
      status: "pending",
      progress: noProgress,
      message: "",
      startTime: undefined,
      endTime: undefined,
    });
    const lease = newLease();
    expect(await jobs.claim(lease)).toMatchObject({
      tenant,
      ingestion: { id: one.id, path: "/src/whole", settings, status: "in_progress" },
      afterDeath: false,
      lostHolders: 0,
      deaths: new Map(),
    });
    expect(await jobs.beat(one, lease, news)).toBe("ours");
    expect(await jobs.get(one)).toMatchObject({ status: "in_progress", progress });
    const outcome = { status: "failed", progress, message: "why" } as const;
    await jobs.end(one, lease, outcome);
    const ended = await jobs.get(one);
    expect(ended).toMatchObject(outcome);
    expect(ended?.endTime).toBeInstanceOf(Date);
    // Once only.
    await jobs.end(one, lease, { ...outcome, status: "completed" });
    expect((await jobs.get(one))?.status).toBe("failed");
    expect(await jobs.beat(one, lease, news)).toBe("lost");
  });

  it("lets one ingestion of a folder of a repository be at a time, each tenant for itself", async () => {
    const first = await begin("busy");
    expect(first.other).toBeUndefined();
    const second = await begin("busy");
    expect(second.other).toBe(first.key.id);
    expect(await jobs.get(second.key)).toBeUndefined();
    const elsewhere = newId();
    const folder = { repoId: "busy", id: newId(), kind: "folder", path: "/x", settings } as const;
    expect(await jobs.create({ ...folder, tenant: elsewhere, lease: newLease() })).toBeUndefined();
    await finish(first);
    const third = await begin("busy");
    expect(third.other).toBeUndefined();
    await finish(third);
  });

  it("keeps a deletion apart from all, and lets streams of documents be beside a folder", async () => {
    const documents = { kind: "documents", lease: newLease() } as const;
    const deletion = { kind: "deletion", lease: newLease() } as const;
    const folder = await begin("kinds");
    const stream = await create("kinds", documents);
    expect(stream.other).toBeUndefined();
    expect((await create("kinds", documents)).other).toBeUndefined();
    expect((await create("kinds", deletion)).other).toBe(folder.key.id);
    await finish(folder);
    expect((await create("kinds", deletion)).other).toBe(stream.key.id);
    await postgres.query(
      "update rag_ingestions set lease_until = now() - interval '1 second' where repo_id = 'kinds'",
    );
    const erasing = await create("kinds", deletion);
    expect(erasing.other).toBeUndefined();
    expect(await jobs.get(stream.key)).toMatchObject({ status: "failed" });
    expect((await create("kinds", documents)).other).toBe(erasing.key.id);
    expect((await create("kinds")).other).toBe(erasing.key.id);
    expect(await jobs.deleteRepository(key("kinds"))).toBe(3);
  });

  it("lets one of many that begin at once win", async () => {
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => begin("race")));
    const winners = outcomes.filter(({ other }) => other === undefined);
    expect(winners).toHaveLength(1);
    const [winner] = winners;
    expect(outcomes.every(({ other }) => other === undefined || other === winner?.key.id)).toBe(
      true,
    );
    if (winner !== undefined) await finish(winner);
  });

  it("gives each of many that ask another one, and nothing to the rest", async () => {
    const made: string[] = [];
    for (const repoId of ["q1", "q2", "q3"]) made.push((await create(repoId)).key.id);
    const leases = Array.from({ length: 8 }, () => newLease());
    const claims = await Promise.all(leases.map((lease) => jobs.claim(lease)));
    const ids = claims.flatMap((claim) => (claim === undefined ? [] : [claim.ingestion.id]));
    expect(ids.sort()).toEqual(made.sort());
    for (const [index, claim] of claims.entries()) {
      const lease = leases[index];
      if (claim === undefined || lease === undefined) continue;
      await jobs.end({ tenant, id: claim.ingestion.id }, lease, {
        status: "completed",
        progress,
        message: "",
      });
    }
  });

  it("gives what its holder left to another, which the first one then learns", async () => {
    const { key: one, lease } = await claimOnly("left");
    expect(await jobs.claim(newLease())).toBeUndefined();
    await lapse(one.id);
    // Silence alone takes nothing away.
    expect(await jobs.beat(one, lease, news)).toBe("ours");
    await lapse(one.id);
    const next = newLease();
    expect(await jobs.claim(next)).toMatchObject({
      ingestion: { id: one.id, progress },
      afterDeath: true,
      lostHolders: 1,
    });
    expect(await jobs.beat(one, lease, news)).toBe("lost");
    expect(await jobs.suspect(one, lease, "a.md")).toBe("lost");
    await jobs.release(one, lease, progress);
    await jobs.end(one, lease, { status: "failed", progress, message: "" });
    expect(await jobs.get(one)).toMatchObject({ status: "in_progress" });
    // A file that is done is a step forward; given back is not left behind.
    expect(await jobs.beat(one, next, news)).toBe("ours");
    await jobs.release(one, next, progress);
    expect(await jobs.get(one)).toMatchObject({ status: "pending", progress });
    const last = newLease();
    expect(await jobs.claim(last)).toMatchObject({ afterDeath: false, lostHolders: 0 });
    await jobs.end(one, last, { status: "completed", progress, message: "" });
  });

  it("counts deaths by the file that was worked on", async () => {
    const path = 'odd "name" {0}, ä.md';
    const { key: one, lease } = await claimOnly("deadly");
    expect(await jobs.suspect(one, lease, path)).toBe("ours");
    let holder = lease;
    for (let deaths = 1; deaths <= 3; deaths++) {
      await lapse(one.id);
      holder = newLease();
      expect(await jobs.claim(holder)).toMatchObject({
        lostHolders: deaths,
        deaths: new Map([[path, deaths]]),
      });
      await jobs.suspect(one, holder, path);
    }
    await jobs.suspect(one, holder, undefined);
    await lapse(one.id);
    holder = newLease();
    expect(await jobs.claim(holder)).toMatchObject({ deaths: new Map([[path, 3]]) });
    await jobs.end(one, holder, { status: "completed", progress, message: "" });
  });

  it("tells a holder that it is to stop, and cancels at once what nobody holds", async () => {
    const { key: one, lease } = await claimOnly("stop");
    await jobs.requestCancel(one);
    expect(await jobs.get(one)).toMatchObject({ status: "in_progress" });
    expect(await jobs.beat(one, lease, news)).toBe("cancel_requested");
    await lapse(one.id);
    expect(await jobs.claim(newLease())).toBeUndefined();
    expect(await jobs.settle("gone")).toContain(one.id);
    expect(await jobs.get(one)).toMatchObject({ status: "cancelled" });
    const { key: waiting } = await create("stop");
    await jobs.requestCancel(waiting);
    expect(await jobs.get(waiting)).toMatchObject({
      status: "cancelled",
      progress: { stage: "done" },
    });
    expect(await jobs.claim(newLease())).toBeUndefined();
  });

  it("lists newest first, in pages, by repository and status", async () => {
    const ids: string[] = [];
    for (const repoId of ["l1", "l2", "l1", "l1"]) {
      const begun = await begin(repoId);
      ids.unshift(begun.key.id);
      await finish(begun);
    }
    const list = async (filter: { repoId?: string; before?: string; limit?: number }) =>
      (
        await jobs.list(tenant, {
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
    expect(await jobs.list(tenant, running)).toEqual([]);
    expect(await jobs.list(newId(), { ...running, status: undefined })).toEqual([]);
  });

  it("knows where a repository was read last", async () => {
    expect(await jobs.lastPath(key("moved"))).toBeUndefined();
    for (const path of ["/old", "/new", ""]) {
      await finish(await begin("moved", path));
    }
    expect(await jobs.lastPath(key("moved"))).toBe("/new");
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
    const { key: one } = await create(repoId, { kind: "documents", lease });
    return { ingestionId: one.id, token: lease.token, pushed };
  }

  async function complete(repoId: string, done: readonly IngestedFile[], writer: Writer) {
    await files.take(
      key(repoId),
      writer,
      done.map(({ path }) => ({ path, ids: [] })),
    );
    return files.complete(key(repoId), writer, done);
  }

  it("remembers files to the nanosecond, and their chunks in order", async () => {
    const writer = await newWriter("files");
    const binary = { ...file, path: "b.md", stamp: undefined, skipped: "binary", chunks: [] };
    expect(await complete("files", [file, binary], writer)).toBe(2);
    const { chunks: _, ...known } = { ...file, ingestionId: writer.ingestionId };
    expect(await files.knownFiles(key("files"), ["b.md", file.path, "unknown"])).toEqual(
      new Map([
        ["b.md", { ...known, path: "b.md", stamp: undefined, skipped: "binary", chunkCount: 0 }],
        [file.path, { ...known, chunkCount: 2 }],
      ]),
    );
    expect(await files.chunkTotal(key("files"))).toBe(2);
    expect(await files.chunkTotal(key("none"))).toBe(0);
    const found = await files.chunksOf(key("files"), [file.path, "unknown.md"]);
    expect(found).toEqual(new Map([[file.path, { recipe: file.recipe, chunks, pendingIds: [] }]]));
    const later = { ...stamp, ctimeNs: 8n };
    await files.restamp(key("files"), [{ path: file.path, stamp: later }]);
    const again = await files.knownFiles(key("files"), [file.path]);
    expect(again.get(file.path)?.stamp).toEqual(later);
    const elsewhere = { tenant: newId(), repoId: "files" };
    expect(await files.knownFiles(elsewhere, [file.path])).toEqual(new Map());
  });

  it("keeps what is announced until the file is complete", async () => {
    const writer = await newWriter("plan");
    const take = (ids: readonly string[]) =>
      files.take(key("plan"), writer, [{ path: file.path, ids }]);
    await take(["x", "y"]);
    expect((await files.knownFiles(key("plan"), [file.path])).get(file.path)).toMatchObject({
      hash: "",
      recipe: "",
      chunkCount: 0,
    });
    const taken = await take(["y", "z"]);
    expect([...(taken.get(file.path)?.pendingIds ?? [])].sort()).toEqual(["x", "y", "z"]);
    expect(await files.complete(key("plan"), writer, [file])).toBe(1);
    expect((await take([])).get(file.path)).toEqual({
      recipe: file.recipe,
      chunks,
      pendingIds: [],
    });
  });

  it("lets one writer have a file, until it leaves it or its lease lapses", async () => {
    const wanted = [{ path: file.path, ids: [] }];
    const gets = async (writer: Writer) =>
      (await files.take(key("taken"), writer, wanted)).has(file.path);
    const first = await newWriter("taken");
    const second = await newWriter("taken");
    expect(await gets(first)).toBe(true);
    expect(await gets(second)).toBe(false);
    expect(await files.complete(key("taken"), second, [file])).toBe(0);
    // Another hold of the same ingestion.
    const again = { ...first, token: newId() };
    await postgres.query("update rag_ingestions set lease_token = $2 where id = $1", [
      first.ingestionId,
      again.token,
    ]);
    expect(await gets(again)).toBe(true);
    expect(await files.complete(key("taken"), first, [file])).toBe(0);
    await files.leave(key("taken"), again, [file.path]);
    expect(await gets(second)).toBe(true);
    await lapse(second.ingestionId);
    expect(await gets(again)).toBe(true);
    expect(await files.complete(key("taken"), again, [file])).toBe(1);
    expect(await gets(second)).toBe(true);
    expect(await jobs.deleteRepository(key("taken"))).toBe(2);
  });

  it("tells files of folders from those that clients sent", async () => {
    const paths = ["a", "b", "c", "d"];
    const ofFolder = paths.map((path) => ({ ...file, path }));
    await complete("sources", ofFolder, await newWriter("sources"));
    const sent = await newWriter("sources", true);
    await complete("sources", [{ ...file, path: "b" }], sent);
    const asks = { recipe: file.recipe, ingestionId: sent.ingestionId };
    const ofFiles = { stamp: stampText(stamp), isCurrent: true, chunkCount: 2, skipped: undefined };
    expect(await files.listFiles(key("sources"), asks, "", 10)).toEqual(
      paths.map((path) => {
        const isOwn = path === "b";
        return { ...ofFiles, path, isPushed: isOwn, isOwn, ownCount: isOwn ? 1 : 0 };
      }),
    );
    const others = { recipe: "another", ingestionId: newId() };
    expect(await files.listFiles(key("sources"), others, "a", 1)).toMatchObject([
      { path: "b", isCurrent: false, isOwn: false, ownCount: 0 },
    ]);
    await files.forget(key("sources"), paths);
    expect([...(await files.knownFiles(key("sources"), paths)).keys()]).toEqual(["b"]);
  });

  it("forgets files, and whole repositories of one tenant", async () => {
    const both = [file, { ...file, path: "b.md" }];
    const paths = both.map(({ path }) => path);
    const elsewhere = { tenant: newId(), repoId: "gone" };
    const writer = await newWriter("gone");
    await complete("gone", both, writer);
    await files.take(
      elsewhere,
      writer,
      paths.map((path) => ({ path, ids: [] })),
    );
    await files.forget(key("gone"), ["b.md", "unknown.md"]);
    expect([...(await files.knownFiles(key("gone"), paths)).keys()]).toEqual([file.path]);
    const { key: run } = await begin("gone");
    expect(await jobs.deleteRepository(key("gone"))).toBe(2);
    expect(await jobs.get(run)).toBeUndefined();
    expect(await files.knownFiles(key("gone"), paths)).toEqual(new Map());
    expect((await files.knownFiles(elsewhere, paths)).size).toBe(2);
    expect(await jobs.deleteRepository(key("gone"))).toBe(0);
  });
});
