import { beforeAll, expect, it } from "vitest";
import type { MigrationStore } from "../../services/ingestion/migration/migration-store.ts";
import type { Checkpoint } from "../../services/ingestion/migration/migration-tally.ts";
import type { Owner } from "../../services/ingestion/migration/owner.ts";
import { PostgresMigrationStore } from "../../services/ingestion/migration/postgres-migration-store.ts";
import { newId } from "../../shared/ids.ts";
import { describeEachStore } from "../harness/postgres.ts";

const owner: Owner = { host: "here", pid: 1, life: newId() };
const other: Owner = { host: "there", pid: 2, life: newId() };
const nothing: Checkpoint = {
  position: { records: 0, digest: "" },
  figures: { counts: [], failures: [], failedByReason: {} },
};
const checkpoint: Checkpoint = {
  position: { records: 500_000, digest: "ab".repeat(32) },
  figures: {
    counts: [
      { kind: "insight", era: "F", read: 5, migrated: 2, deduplicated: 2, failed: 1 },
      { kind: "entity", era: "KG", read: 1, migrated: 1, deduplicated: 0, failed: 0 },
    ],
    failures: [
      {
        recordId: 'r "1"',
        kind: "insight",
        era: "F",
        failure: { kind: "invalid_argument", reason: "INVALID_FIELD", message: "blank" },
      },
    ],
    failedByReason: { INVALID_FIELD: 1 },
  },
};

describeEachStore("MigrationStore", (_, database) => {
  let store: MigrationStore;
  let tenant: string;

  beforeAll(() => {
    tenant = newId();
    store = new PostgresMigrationStore(database().open());
  });

  function open(file: string, by = owner, timeZone = "UTC", of = tenant) {
    return store.open({ tenant: of, id: newId(), file, timeZone, owner: by });
  }

  async function begun(file: string, by = owner, timeZone = "UTC") {
    const opened = await open(file, by, timeZone);
    if (opened.kind !== "opened") throw new Error("is running");
    return { ...opened, key: { tenant, id: opened.id } };
  }

  it("has one migration of a file in progress, each tenant for itself", async () => {
    const first = await begun("/busy");
    expect(first).toMatchObject({ resumed: false, checkpoint: nothing });
    const second = await open("/busy", other);
    expect(second).toMatchObject({ kind: "running", running: { id: first.id, tenant, owner } });
    if (second.kind === "running") expect(second.running.silentMs).toBeLessThan(60_000);
    expect(await open("/busy", owner, "Europe/Berlin")).toMatchObject({ kind: "running" });
    expect(await open("/busy", owner, "UTC", newId())).toMatchObject({ kind: "opened" });
    expect(await open("/other")).toMatchObject({ kind: "opened", resumed: false });
  });

  it("answers a repeated call for the same id with what the first one made", async () => {
    const wanted = { tenant, id: newId(), file: "/repeated", timeZone: "UTC", owner };
    const first = await store.open(wanted);
    expect(first).toMatchObject({ kind: "opened", resumed: false, checkpoint: nothing });
    expect(await store.open(wanted)).toEqual(first);
  });

  it("lets one of many win that come at once", async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => open("/race")));
    expect(all.filter(({ kind }) => kind === "opened")).toHaveLength(1);
  });

  it.each(["failed", "cancelled"] as const)("continues one that %s", async (status) => {
    const file = `/continued/${status}`;
    const first = await begun(file);
    expect(await store.beat(first.key, owner, checkpoint)).toBe(true);
    await store.end(first.key, owner, { status, checkpoint, message: "why" });
    // Another zone means other times: it is not the same migration.
    const again = await begun(file, other);
    expect(again).toMatchObject({ id: first.id, resumed: true, checkpoint });
    expect(await store.beat(first.key, owner, nothing)).toBe(false);
    await store.end(first.key, owner, { status: "completed", checkpoint: nothing, message: "" });
    expect(await store.beat(again.key, other, checkpoint)).toBe(true);
    await store.end(again.key, other, { status, checkpoint, message: "" });
    expect(await begun(file, owner, "Europe/Berlin")).toMatchObject({ resumed: false });
  });

  it("does not continue one that is completed, or older than the newest", async () => {
    const first = await begun("/whole");
    await store.end(first.key, owner, { status: "completed", checkpoint, message: "" });
    const second = await begun("/whole");
    expect(second).toMatchObject({ resumed: false, checkpoint: nothing });
    expect(second.id).not.toBe(first.id);
    await store.end(second.key, owner, { status: "failed", checkpoint, message: "" });
    const berlin = await begun("/whole", owner, "Europe/Berlin");
    await store.end(berlin.key, owner, { status: "completed", checkpoint, message: "" });
    expect(await begun("/whole")).toMatchObject({ resumed: false });
  });

  it("keeps the checkpoint of one whose owner is gone", async () => {
    const first = await begun("/orphan");
    await store.beat(first.key, owner, checkpoint);
    const found = await open("/orphan", other);
    if (found.kind !== "running") throw new Error("is not running");
    await store.interrupt({ ...found.running, owner: other }, "not its owner");
    expect(await store.beat(first.key, owner, checkpoint)).toBe(true);
    await store.interrupt(found.running, "gone");
    expect(await store.beat(first.key, owner, checkpoint)).toBe(false);
    expect(await begun("/orphan", other)).toMatchObject({ resumed: true, checkpoint });
  });
});
