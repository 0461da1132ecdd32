import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import type { MigrationStore } from "../../services/ingestion/migration/migration-store.ts";
import type { Checkpoint } from "../../services/ingestion/migration/migration-tally.ts";
import { PostgresMigrationStore } from "../../services/ingestion/migration/postgres-migration-store.ts";
import type { Lease } from "../../services/ingestion/store.ts";
import { newId } from "../../shared/ids.ts";
import { sleep } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { migrate } from "../../shared/postgres/migrate.ts";
import { migrationsDirectory } from "../../shared/postgres/migration-files.ts";
import { describeEachStore } from "../harness/postgres.ts";

const owner: Lease = { token: newId(), ms: 60_000 };
const other: Lease = { token: newId(), ms: 60_000 };
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
    return store.open({ tenant: of, id: newId(), file, timeZone, lease: by });
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
    expect(second).toMatchObject({ kind: "running", running: { id: first.id, tenant } });
    if (second.kind === "running") expect(second.running.remainingMs).toBeGreaterThan(0);
    expect(await open("/busy", other, "Europe/Berlin")).toMatchObject({ kind: "running" });
    expect(await open("/busy", owner, "UTC", newId())).toMatchObject({ kind: "opened" });
    expect(await open("/other")).toMatchObject({ kind: "opened", resumed: false });
  });

  it("answers a repeated call for the same id with what the first one made", async () => {
    const wanted = { tenant, id: newId(), file: "/repeated", timeZone: "UTC", lease: owner };
    const first = await store.open(wanted);
    expect(first).toMatchObject({ kind: "opened", resumed: false, checkpoint: nothing });
    expect(await store.open(wanted)).toEqual(first);
  });

  it("lets one of many win that come at once", async () => {
    const all = await Promise.all(
      Array.from({ length: 8 }, () => open("/race", { token: newId(), ms: 60_000 })),
    );
    expect(all.filter(({ kind }) => kind === "opened")).toHaveLength(1);
  });

  it.each(["failed", "cancelled"] as const)("continues one that %s", async (status) => {
    const file = `/continued/${status}`;
    const first = await begun(file);
    expect(await store.beat(first.key, owner, checkpoint)).toBe("ours");
    await store.end(first.key, owner, { status, checkpoint, message: "why" });
    // Another zone means other times: it is not the same migration.
    const again = await begun(file, other);
    expect(again).toMatchObject({ id: first.id, resumed: true, checkpoint });
    expect(await store.beat(first.key, owner, nothing)).toBe("lost");
    await store.end(first.key, owner, { status: "completed", checkpoint: nothing, message: "" });
    expect(await store.beat(again.key, other, checkpoint)).toBe("ours");
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

  it("gives one whose lease has lapsed to one of many, with its checkpoint", async () => {
    const short = { token: newId(), ms: 100 };
    const first = await begun("/orphan", short);
    expect(await store.beat(first.key, short, checkpoint)).toBe("ours");
    await sleep(150);
    const leases = Array.from({ length: 6 }, () => ({ token: newId(), ms: 60_000 }));
    const all = await Promise.all(leases.map((lease) => open("/orphan", lease)));
    const taken = all.filter(({ kind }) => kind === "opened");
    expect(taken).toMatchObject([{ id: first.id, resumed: true, checkpoint }]);
    expect(await store.beat(first.key, short, nothing)).toBe("lost");
    await store.end(first.key, short, { status: "completed", checkpoint: nothing, message: "" });
    expect(await open("/orphan", other)).toMatchObject({ kind: "running" });
  });

  it("ends one whose lease has lapsed where another time zone is asked for", async () => {
    const first = await begun("/zones", { token: newId(), ms: 1 });
    await sleep(20);
    const second = await begun("/zones", owner, "Europe/Berlin");
    expect(second).toMatchObject({ resumed: false, checkpoint: nothing });
    expect(second.id).not.toBe(first.id);
  });
});

describeEachStore(
  "migrations that were recorded before leases",
  (_, database) => {
    it("are their processes' own for as long as before, and are continued", async () => {
      const url = database().url;
      const logger = silentLogger();
      const before = await mkdtemp(join(tmpdir(), "mahavishnu-before-"));
      try {
        for (const name of await readdir(migrationsDirectory)) {
          const early = name.endsWith(".sql") && name < "0010";
          if (early) await cp(join(migrationsDirectory, name), join(before, name));
        }
        await migrate({ url, directory: before, logger });
      } finally {
        await rm(before, { recursive: true });
      }
      const pool = database().open();
      const insert = (id: string, status: string, silent: string) =>
        pool.query(
          `insert into session_buddy_migrations (tenant, id, file, source_time_zone, status, records,
             digest, figures, owner_host, owner_pid, owner_life, heartbeat_at, ended_at)
           values ('t', $1, $1, 'UTC', $2, 500000, $3, $4, 'h', 1, 'life',
             now() - $5::interval, case when $2 <> 'in_progress' then now() end)`,
          [id, status, "ab".repeat(32), JSON.stringify(checkpoint.figures), silent],
        );
      await insert("/alive", "in_progress", "1 s");
      await insert("/silent", "in_progress", "1 hour");
      await insert("/done", "completed", "1 hour");
      await migrate({ url, directory: migrationsDirectory, logger });
      const store = new PostgresMigrationStore(pool);
      const open = (file: string) =>
        store.open({ tenant: "t", id: newId(), file, timeZone: "UTC", lease: owner });
      expect(await open("/alive")).toMatchObject({ kind: "running", running: { id: "/alive" } });
      expect(await open("/silent")).toMatchObject({ id: "/silent", resumed: true, checkpoint });
      expect(await open("/done")).toMatchObject({ kind: "opened", resumed: false });
    });
  },
  { migrations: null },
);
