import { resolve } from "node:path";
import {
  IngestionService,
  type MigrateSessionBuddyResponse,
  type MigrationCount,
} from "../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { ErrorReason } from "../shared/gen/mahavishnu/type/v1/error_pb.js";
import { awaitTurn, type InTheWay } from "./await-turn.ts";
import { CallFailure, withClient } from "./connection.ts";
import { duration, exitCodes, note, print, printJson } from "./output.ts";
import { ProgressLine } from "./progress.ts";
import { renderTable } from "./table.ts";

export interface MigrateOptions {
  readonly dryRun?: boolean;
  readonly timeZone?: string;
  readonly tenant?: string;
  readonly json?: boolean;
  /** Seconds to wait where another process migrates the file. */
  readonly wait: number;
}

/** Copies a Session-Buddy file into the memory, shows progress, and prints what became of it. */
export async function migrateSessionBuddy(
  path: string | undefined,
  options: MigrateOptions,
): Promise<void> {
  const bar = options.json ? undefined : new ProgressLine();
  const label = options.dryRun ? "counting" : "migrating";
  const request = {
    path: path === undefined ? "" : resolve(path),
    dryRun: options.dryRun ?? false,
    sourceTimeZone: options.timeZone ?? "",
  };
  const last = await withClient(
    "ingestion",
    IngestionService,
    async (client, call) => {
      const attempt = async () => {
        let newest: MigrateSessionBuddyResponse | undefined;
        for await (const progress of client.migrateSessionBuddy(request, call())) {
          newest = progress;
          const { migrated, deduplicated, failed } = totalOf(progress.counts);
          bar?.update({
            label,
            done: Number(migrated + deduplicated + failed),
            total: Number(progress.recordsTotal),
            unit: "records",
            extra: `${migrated} new`,
            rate: progress.recordsPerSecond,
          });
        }
        return newest;
      };
      return await awaitTurn(attempt, options.wait * 1000, (other) => note(waitingWords(other)));
    },
    options.tenant,
  ).finally(() => bar?.clear());
  if (last === undefined) throw new CallFailure("internal", "the migration told no progress");
  if (options.json) printJson(toJson(last, options));
  else printSummary(last, options);
  if (last.verification?.verified === false) process.exitCode = exitCodes.failure;
}

function waitingWords({ id, retrySeconds, secondsLeft }: InTheWay): string {
  return `Waiting up to ${secondsLeft} s: migration ${id} has the file. If its process has died, it is continued here when its lease ends, in ${retrySeconds} s.`;
}

function printSummary(last: MigrateSessionBuddyResponse, { dryRun }: MigrateOptions): void {
  const { source, counts, verification } = last;
  const total = totalOf(counts);
  const took = duration(last.elapsed?.seconds ?? 0n, last.elapsed?.nanos ?? 0);
  const what = dryRun
    ? "Dry run, nothing was written"
    : `Migration ${last.migrationId}${last.resumed ? ", continued," : ""} completed`;
  print(`${what}: ${source?.file}, times read as ${last.sourceTimeZone}.`);
  print(`${took}, ${last.recordsPerSecond.toFixed(0)} records/s.`);
  if (source !== undefined && source.lockHolder !== "") {
    print(`${source.lockHolder} holds the file; a copy of it was read.`);
  }
  const stored = dryRun ? "would be migrated" : "migrated";
  const rows = counts.map((one) => [one.era, one.kind, ...figuresOf(one)]);
  print(
    renderTable(
      ["layout", "kind", "read", stored, "deduplicated", "failed"],
      [...rows, ["all", "", ...figuresOf(total)]],
    ),
  );
  if (verification !== undefined) {
    const { expected, found, verified } = verification;
    print(
      verified
        ? `Verified: the memory holds ${found} of this migration's ${expected} memories.`
        : `NOT verified: the memory holds ${found} of this migration's ${expected} memories.`,
    );
  }
  for (const table of source?.unknownTables ?? []) print(`Not read, no known layout: ${table}`);
  for (const file of source?.unreadFiles ?? []) print(`Not read: ${file}`);
  printFailures(last, total.failed);
}

function printFailures(last: MigrateSessionBuddyResponse, failed: bigint): void {
  if (failed === 0n) return;
  const reasons = Object.entries(last.failedByReason).map(([why, count]) => [why, String(count)]);
  print(renderTable(["reason", "records"], reasons));
  const rows = last.errors.map(({ era, kind, recordId, error }) => [
    era,
    kind,
    recordId,
    error?.message ?? "",
  ]);
  print(renderTable(["layout", "kind", `failed (${failed})`, "why"], rows));
}

function totalOf(counts: readonly MigrationCount[]) {
  const total = { read: 0n, migrated: 0n, deduplicated: 0n, failed: 0n };
  for (const { read, migrated, deduplicated, failed } of counts) {
    total.read += read;
    total.migrated += migrated;
    total.deduplicated += deduplicated;
    total.failed += failed;
  }
  return total;
}

function figuresOf(count: ReturnType<typeof totalOf>): string[] {
  return [count.read, count.migrated, count.deduplicated, count.failed].map(String);
}

function toJson(last: MigrateSessionBuddyResponse, options: MigrateOptions): unknown {
  const { source, verification } = last;
  const numbers = ({ read, migrated, deduplicated, failed }: ReturnType<typeof totalOf>) => ({
    read: Number(read),
    migrated: Number(migrated),
    deduplicated: Number(deduplicated),
    failed: Number(failed),
  });
  return {
    migration_id: last.migrationId,
    dry_run: options.dryRun ?? false,
    resumed: last.resumed,
    file: source?.file ?? "",
    eras: source?.eras ?? [],
    source_time_zone: last.sourceTimeZone,
    lock_holder: source?.lockHolder ?? "",
    unknown_tables: source?.unknownTables ?? [],
    unread_files: source?.unreadFiles ?? [],
    ...numbers(totalOf(last.counts)),
    counts: last.counts.map((one) => ({ era: one.era, kind: one.kind, ...numbers(one) })),
    failed_by_reason: Object.fromEntries(
      Object.entries(last.failedByReason).map(([why, count]) => [why, Number(count)]),
    ),
    errors: last.errors.map(({ recordId, kind, era, error }) => ({
      record_id: recordId,
      kind,
      era,
      reason: ErrorReason[error?.reason ?? ErrorReason.UNSPECIFIED],
      message: error?.message ?? "",
    })),
    verification:
      verification === undefined
        ? null
        : {
            expected: Number(verification.expected),
            found: Number(verification.found),
            verified: verification.verified,
          },
    seconds: Number(last.elapsed?.seconds ?? 0n) + (last.elapsed?.nanos ?? 0) / 1e9,
    records_per_second: last.recordsPerSecond,
  };
}
