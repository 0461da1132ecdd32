import { resolve } from "node:path";
import {
  type IngestionProgress,
  IngestionStage,
  IngestionStatus,
} from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { IngestionService } from "../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { CallFailure, withClient } from "./connection.ts";
import { duration, exitCodes, print, printJson } from "./output.ts";
import { ProgressLine } from "./progress.ts";
import { renderTable } from "./table.ts";

export interface IngestOptions {
  readonly repo?: string;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly chunkSize?: number;
  readonly chunkOverlap?: number;
  readonly tenant?: string;
  readonly json?: boolean;
}

/** Ingests a folder, shows progress, and prints what was stored and what was passed over. */
export async function ingest(path: string, options: IngestOptions): Promise<void> {
  const bar = options.json ? undefined : new ProgressLine();
  const last = await withClient(
    "ingestion",
    IngestionService,
    async (client, call) => {
      let newest: IngestionProgress | undefined;
      const request = {
        path: resolve(path),
        repoId: options.repo ?? "",
        include: [...(options.include ?? [])],
        exclude: [...(options.exclude ?? [])],
        chunkSize: options.chunkSize ?? 0,
        ...(options.chunkOverlap === undefined ? {} : { chunkOverlap: options.chunkOverlap }),
      };
      for await (const { progress } of client.ingestRepository(request, call())) {
        if (progress === undefined) continue;
        newest = progress;
        bar?.update({
          label: IngestionStage[progress.stage].toLowerCase(),
          done: Number(progress.filesDone),
          total: Number(progress.filesTotal),
          unit: "files",
          extra: `${progress.chunksStored} chunks`,
        });
      }
      return newest;
    },
    options.tenant,
  ).finally(() => bar?.clear());
  if (last === undefined) throw new CallFailure("internal", "the ingestion told no progress");
  if (options.json) printJson(toJson(last));
  else printSummary(last);
  if (last.status !== IngestionStatus.COMPLETED) process.exitCode = exitCodes.failure;
}

function printSummary(progress: IngestionProgress): void {
  const took = duration(progress.elapsed?.seconds ?? 0n, progress.elapsed?.nanos ?? 0);
  const status = IngestionStatus[progress.status].toLowerCase();
  print(
    `Ingestion ${progress.ingestionId} ${status} in ${took}: ${progress.filesDone} files, ${progress.chunksStored} chunks stored, ${progress.chunksUnchanged} unchanged, ${progress.chunksDeleted} removed.`,
  );
  if (progress.message !== "") print(progress.message);
  const skipped = Object.entries(progress.filesSkipped).sort(([, a], [, b]) => Number(b - a));
  if (skipped.length > 0) {
    print(
      renderTable(
        ["skipped", "files"],
        skipped.map(([why, count]) => [why, String(count)]),
      ),
    );
  }
  if (progress.errors.length > 0) {
    const rows = progress.errors.map((one) => [one.path, one.error?.message ?? ""]);
    print(renderTable([`failed (${progress.filesFailed})`, "why"], rows));
  }
}

function toJson(progress: IngestionProgress): unknown {
  return {
    ingestion_id: progress.ingestionId,
    status: IngestionStatus[progress.status].toLowerCase(),
    files_total: Number(progress.filesTotal),
    files_done: Number(progress.filesDone),
    files_failed: Number(progress.filesFailed),
    chunks_stored: Number(progress.chunksStored),
    chunks_unchanged: Number(progress.chunksUnchanged),
    chunks_deleted: Number(progress.chunksDeleted),
    files_skipped: Object.fromEntries(
      Object.entries(progress.filesSkipped).map(([why, count]) => [why, Number(count)]),
    ),
    errors: progress.errors.map((one) => ({ path: one.path, message: one.error?.message ?? "" })),
    message: progress.message,
  };
}
