import { beforeAll, expect, it } from "vitest";
import { noProgress, type Progress } from "../../services/ingestion/ingestion.ts";
import { newId } from "../../shared/ids.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { IngestionStores, newLease, settings } from "./ingestion-stores.ts";

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

describeEachStore("the store of ingestions", (_, database) => {
  let stores: IngestionStores;

  beforeAll(() => {
    stores = new IngestionStores(database().open());
  });

  async function finish({ key: { id }, lease }: Awaited<ReturnType<IngestionStores["begin"]>>) {
    await stores.jobs.end({ tenant: stores.tenant, id }, lease, {
      status: "completed",
      progress,
      message: "",
    });
  }

  async function claimOnly(repoId: string) {
    const { key: one } = await stores.create(repoId);
    const lease = newLease();
    const claimed = await stores.jobs.claim(lease);
    expect(claimed?.ingestion.id).toBe(one.id);
    return { key: one, lease, claimed };
  }

  it("records an ingestion from its beginning to its end", async () => {
    const { key: one } = await stores.create("whole");
    expect(await stores.jobs.get(one)).toMatchObject({
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
    expect(await stores.jobs.claim(lease)).toMatchObject({
      tenant: stores.tenant,
      ingestion: { id: one.id, path: "/src/whole", settings, status: "in_progress" },
      afterDeath: false,
      lostHolders: 0,
      deaths: new Map(),
    });
    expect(await stores.jobs.beat(one, lease, news)).toBe("ours");
    expect(await stores.jobs.get(one)).toMatchObject({ status: "in_progress", progress });
    const outcome = { status: "failed", progress, message: "why" } as const;
    await stores.jobs.end(one, lease, outcome);
    const ended = await stores.jobs.get(one);
    expect(ended).toMatchObject(outcome);
    expect(ended?.endTime).toBeInstanceOf(Date);
    // Once only.
    await stores.jobs.end(one, lease, { ...outcome, status: "completed" });
    expect((await stores.jobs.get(one))?.status).toBe("failed");
    expect(await stores.jobs.beat(one, lease, news)).toBe("lost");
  });

  it("lets one ingestion of a folder of a repository be at a time, each tenant for itself", async () => {
    const first = await stores.begin("busy");
    expect(first.other).toBeUndefined();
    const second = await stores.begin("busy");
    expect(second.other).toBe(first.key.id);
    expect(await stores.jobs.get(second.key)).toBeUndefined();
    const elsewhere = newId();
    const folder = { repoId: "busy", id: newId(), kind: "folder", path: "/x", settings } as const;
    expect(
      await stores.jobs.create({ ...folder, tenant: elsewhere, lease: newLease() }),
    ).toBeUndefined();
    await finish(first);
    const third = await stores.begin("busy");
    expect(third.other).toBeUndefined();
    await finish(third);
  });

  it("keeps a deletion apart from all, and lets streams of documents be beside a folder", async () => {
    const documents = { kind: "documents", lease: newLease() } as const;
    const deletion = { kind: "deletion", lease: newLease() } as const;
    const folder = await stores.begin("kinds");
    const stream = await stores.create("kinds", documents);
    expect(stream.other).toBeUndefined();
    expect((await stores.create("kinds", documents)).other).toBeUndefined();
    expect((await stores.create("kinds", deletion)).other).toBe(folder.key.id);
    await finish(folder);
    expect((await stores.create("kinds", deletion)).other).toBe(stream.key.id);
    await stores.postgres.query(
      "update rag_ingestions set lease_until = now() - interval '1 second' where repo_id = 'kinds'",
    );
    const erasing = await stores.create("kinds", deletion);
    expect(erasing.other).toBeUndefined();
    expect(await stores.jobs.get(stream.key)).toMatchObject({ status: "failed" });
    expect((await stores.create("kinds", documents)).other).toBe(erasing.key.id);
    expect((await stores.create("kinds")).other).toBe(erasing.key.id);
    expect(await stores.jobs.deleteRepository(stores.key("kinds"))).toBe(3);
  });

  it("lets one of many that begin at once win", async () => {
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => stores.begin("race")));
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
    for (const repoId of ["q1", "q2", "q3"]) made.push((await stores.create(repoId)).key.id);
    const leases = Array.from({ length: 8 }, () => newLease());
    const claims = await Promise.all(leases.map((lease) => stores.jobs.claim(lease)));
    const ids = claims.flatMap((claim) => (claim === undefined ? [] : [claim.ingestion.id]));
    expect(ids.sort()).toEqual(made.sort());
    for (const [index, claim] of claims.entries()) {
      const lease = leases[index];
      if (claim === undefined || lease === undefined) continue;
      await stores.jobs.end({ tenant: stores.tenant, id: claim.ingestion.id }, lease, {
        status: "completed",
        progress,
        message: "",
      });
    }
  });

  it("gives what its holder left to another, which the first one then learns", async () => {
    const { key: one, lease } = await claimOnly("left");
    expect(await stores.jobs.claim(newLease())).toBeUndefined();
    await stores.lapse(one.id);
    // Silence alone takes nothing away.
    expect(await stores.jobs.beat(one, lease, news)).toBe("ours");
    await stores.lapse(one.id);
    const next = newLease();
    expect(await stores.jobs.claim(next)).toMatchObject({
      ingestion: { id: one.id, progress },
      afterDeath: true,
      lostHolders: 1,
    });
    expect(await stores.jobs.beat(one, lease, news)).toBe("lost");
    expect(await stores.jobs.suspect(one, lease, "a.md")).toBe("lost");
    await stores.jobs.release(one, lease, progress);
    await stores.jobs.end(one, lease, { status: "failed", progress, message: "" });
    expect(await stores.jobs.get(one)).toMatchObject({ status: "in_progress" });
    // A file that is done is a step forward; given back is not left behind.
    expect(await stores.jobs.beat(one, next, news)).toBe("ours");
    await stores.jobs.release(one, next, progress);
    expect(await stores.jobs.get(one)).toMatchObject({ status: "pending", progress });
    const last = newLease();
    expect(await stores.jobs.claim(last)).toMatchObject({ afterDeath: false, lostHolders: 0 });
    await stores.jobs.end(one, last, { status: "completed", progress, message: "" });
  });

  it("counts deaths by the file that was worked on", async () => {
    const path = 'odd "name" {0}, ä.md';
    const { key: one, lease } = await claimOnly("deadly");
    expect(await stores.jobs.suspect(one, lease, path)).toBe("ours");
    let holder = lease;
    for (let deaths = 1; deaths <= 3; deaths++) {
      await stores.lapse(one.id);
      holder = newLease();
      expect(await stores.jobs.claim(holder)).toMatchObject({
        lostHolders: deaths,
        deaths: new Map([[path, deaths]]),
      });
      await stores.jobs.suspect(one, holder, path);
    }
    await stores.jobs.suspect(one, holder, undefined);
    await stores.lapse(one.id);
    holder = newLease();
    expect(await stores.jobs.claim(holder)).toMatchObject({ deaths: new Map([[path, 3]]) });
    await stores.jobs.end(one, holder, { status: "completed", progress, message: "" });
  });

  it("tells a holder that it is to stop, and cancels at once what nobody holds", async () => {
    const { key: one, lease } = await claimOnly("stop");
    await stores.jobs.requestCancel(one);
    expect(await stores.jobs.get(one)).toMatchObject({ status: "in_progress" });
    expect(await stores.jobs.beat(one, lease, news)).toBe("cancel_requested");
    await stores.lapse(one.id);
    expect(await stores.jobs.claim(newLease())).toBeUndefined();
    expect(await stores.jobs.settle("gone")).toContain(one.id);
    expect(await stores.jobs.get(one)).toMatchObject({ status: "cancelled" });
    const { key: waiting } = await stores.create("stop");
    await stores.jobs.requestCancel(waiting);
    expect(await stores.jobs.get(waiting)).toMatchObject({
      status: "cancelled",
      progress: { stage: "done" },
    });
    expect(await stores.jobs.claim(newLease())).toBeUndefined();
  });

  it("lists newest first, in pages, by repository and status", async () => {
    const ids: string[] = [];
    for (const repoId of ["l1", "l2", "l1", "l1"]) {
      const begun = await stores.begin(repoId);
      ids.unshift(begun.key.id);
      await finish(begun);
    }
    const list = async (filter: { repoId?: string; before?: string; limit?: number }) =>
      (
        await stores.jobs.list(stores.tenant, {
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
    expect(await stores.jobs.list(stores.tenant, running)).toEqual([]);
    expect(await stores.jobs.list(newId(), { ...running, status: undefined })).toEqual([]);
  });

  it("knows where a repository was read last", async () => {
    expect(await stores.jobs.lastPath(stores.key("moved"))).toBeUndefined();
    for (const path of ["/old", "/new", ""]) {
      await finish(await stores.begin("moved", path));
    }
    expect(await stores.jobs.lastPath(stores.key("moved"))).toBe("/new");
  });
});
