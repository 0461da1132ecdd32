import { afterEach, beforeEach, expect, it } from "vitest";
import { newId } from "../../shared/ids.ts";
import { FakePeers } from "../conformance/ingestion-peers.ts";
import {
  createFolder,
  startIngestion,
  type TestFolder,
  type TestIngestion,
} from "../conformance/ingestion-service.ts";
import { reflections } from "../conformance/migration-peers.ts";
import { CommandLine } from "../harness/command-line.ts";
import { describeEachStore } from "../harness/postgres.ts";

const file = "/sb/reflection.duckdb";
const limit = 120_000;

describeEachStore("commands whose work another process has", (_, database) => {
  let peers: FakePeers;
  let service: TestIngestion;
  let folder: TestFolder;
  let running: CommandLine[];

  beforeEach(async () => {
    await database().truncate();
    peers = new FakePeers();
    folder = await createFolder();
    running = [];
    service = await startIngestion(database().url, peers);
  });
  afterEach(async () => {
    await Promise.all(running.map((one) => one[Symbol.asyncDispose]()));
    await service[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  function cli(...args: string[]): CommandLine {
    const one = new CommandLine(args, { MAHAVISHNU_INGESTION_ADDRESS: service.address });
    running.push(one);
    return one;
  }

  /** As a process leaves it that has died a moment ago. */
  async function plantMigration(leaseSeconds: number): Promise<string> {
    const id = newId();
    await database()
      .open()
      .query(
        `insert into session_buddy_migrations
           (tenant, id, file, source_time_zone, figures, lease_token, lease_until)
         values ('default', $1, $2, 'Asia/Kolkata', $3, 'dead',
           clock_timestamp() + $4 * interval '1 s')`,
        [id, file, { counts: [], failures: [], failedByReason: {} }, leaseSeconds],
      );
    return id;
  }

  it(
    "wait for the lease of a migration whose process has died, and continue it",
    async () => {
      peers.bridge.records = reflections(8);
      const id = await plantMigration(6);
      const command = cli("migrate", "session-buddy", file, "--json");
      expect(await command.note(/^Waiting/)).toContain(`migration ${id} has the file`);
      expect(await command.exit).toBe(0);
      expect(JSON.parse(command.stdout.join("\n"))).toMatchObject({
        migration_id: id,
        resumed: true,
        migrated: 8,
      });
      expect(command.stderr).toHaveLength(1);
      expect(peers.documents.size).toBe(8);
    },
    limit,
  );

  it(
    "do not wait for a migration where they are told so, and no longer than they are told",
    async () => {
      await plantMigration(600);
      const hasty = cli("migrate", "session-buddy", file, "--wait", "0");
      expect(await hasty.exit).toBe(1);
      expect(hasty.stderr.join("\n")).toMatch(/^aborted: .*is being migrated already$/);
      const patient = cli("migrate", "session-buddy", file, "--wait", "1");
      expect(await patient.exit).toBe(1);
      expect(patient.stderr[0]).toMatch(/^Waiting up to 1 s: .* in \d+ s\.$/);
      expect(patient.stderr.at(-1)).toMatch(/^aborted: /);
    },
    limit,
  );

  it(
    "wait for the ingestion that holds the repository, and go on after it",
    async () => {
      await folder.plant({ "a.md": "# A\n" });
      const held = Promise.withResolvers<void>();
      const reached = Promise.withResolvers<void>();
      peers.onEmbed = () => {
        reached.resolve();
        return held.promise;
      };
      const ingest = (...more: string[]) => cli("ingest", folder.path, "--repo", "repo", ...more);
      const detached = ingest("--detach", "--json");
      expect(await detached.exit).toBe(0);
      const id = detached.events[0]?.["ingestion_id"];
      await reached.promise;
      const hasty = ingest("--wait", "0");
      expect(await hasty.exit).toBe(1);
      expect(hasty.stderr.join("\n")).toContain(`ingestions watch ${id}`);
      const [second, people, deletion] = [
        ingest("--json"),
        ingest(),
        cli("repository", "delete", "repo", "--yes", "--wait", "1"),
      ];
      expect(await second.event("waiting")).toMatchObject({ ingestion_id: id });
      expect(await people.note(/^Waiting up to \d+ s/)).toContain(`ingestions watch ${id}`);
      expect(await deletion.exit).toBe(1);
      expect(deletion.stderr[0]).toContain(`${id} holds the repository`);
      held.resolve();
      expect(await second.exit).toBe(0);
      expect(await people.exit).toBe(0);
      expect(second.events.at(-1)).toMatchObject({ event: "done", chunks_stored: 0 });
    },
    limit,
  );
});
