import { isAbsolute } from "node:path";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Violations } from "../../../shared/errors.ts";
import {
  type MigrateSessionBuddyRequest,
  type MigrateSessionBuddyResponse,
  MigrateSessionBuddyResponseSchema,
} from "../../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { ErrorReason } from "../../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { codeOfKind } from "../../../shared/rpc/errors.ts";
import type { MigrationOrder, MigrationView } from "./migrations.ts";

const maxPathBytes = 4_096;
const maxTimeZoneBytes = 64;

/** @throws InvalidRequestError that names every wrong field. */
export function parseMigration(request: MigrateSessionBuddyRequest): MigrationOrder {
  const violations = new Violations();
  const { path, dryRun, sourceTimeZone } = request;
  if (path !== "") {
    violations.require(
      Buffer.byteLength(path) <= maxPathBytes,
      "path",
      `at most ${maxPathBytes} bytes`,
    );
    violations.require(!path.includes("\0"), "path", "must not contain NUL");
    violations.require(isAbsolute(path), "path", "must be absolute");
  }
  violations.require(
    sourceTimeZone === "" || isTimeZone(sourceTimeZone),
    "source_time_zone",
    "must be an IANA time zone such as Europe/Berlin",
  );
  violations.throwIfAny();
  return { path, dryRun, timeZone: sourceTimeZone };
}

function isTimeZone(name: string): boolean {
  if (Buffer.byteLength(name) > maxTimeZoneBytes) return false;
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

export function toMigrationProgress(view: MigrationView): MigrateSessionBuddyResponse {
  const { source, figures, verification } = view;
  return create(MigrateSessionBuddyResponseSchema, {
    done: view.done,
    counts: figures.counts.map((one) => ({
      kind: one.kind,
      era: one.era,
      read: BigInt(one.read),
      migrated: BigInt(one.migrated),
      deduplicated: BigInt(one.deduplicated),
      failed: BigInt(one.failed),
    })),
    errors: figures.failures.map(({ recordId, kind, era, failure }) => ({
      recordId,
      kind,
      era,
      error: {
        code: codeOfKind[failure.kind],
        reason: ErrorReason[failure.reason],
        message: failure.message,
      },
    })),
    failedByReason: Object.fromEntries(
      Object.entries(figures.failedByReason).map(([reason, count]) => [reason, BigInt(count)]),
    ),
    recordsTotal: BigInt(source.rows),
    sourceTimeZone: source.timeZone,
    migrationId: view.id,
    resumed: view.resumed,
    elapsed: durationFromMs(view.elapsedMs),
    recordsPerSecond: view.rate,
    ...(verification === undefined
      ? {}
      : {
          verification: {
            expected: BigInt(verification.expected),
            found: BigInt(verification.found),
            verified: verification.expected === verification.found,
          },
        }),
    source: {
      file: source.file,
      eras: [...source.eras],
      unknownTables: [...source.unknownTables],
      unreadFiles: [...source.unreadFiles],
      lockHolder: source.lockHolder,
    },
  });
}
