import type {
  Ingestion,
  IngestionProgress,
} from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { ErrorReason } from "../shared/gen/mahavishnu/type/v1/error_pb.js";
import type { FollowEvent } from "./follow-ingestion.ts";
import { stageName, statusName } from "./ingestion-names.ts";
import type { IngestionReporter } from "./ingestion-reporter.ts";
import { printJsonLine, secondsOf, timeOf } from "./output.ts";

const everyMs = 1_000;

/** One JSON object a line: `progress` every second and with every stage, and `done` at last. */
export class JsonReporter implements IngestionReporter {
  #lastAt = -Infinity;
  #lastStage: unknown;

  onEvent(event: FollowEvent): void {
    if (event.kind === "progress") this.#onProgress(event.progress);
    else if (event.kind === "attached") {
      printJsonLine({ event: "attached", ingestion_id: event.ingestionId });
    } else {
      const { ingestionId, reason, attempt, secondsLeft } = event;
      printJsonLine({
        event: "lost",
        ingestion_id: ingestionId,
        reason,
        attempt,
        seconds_left: secondsLeft,
      });
    }
  }

  onEnd(progress: IngestionProgress): void {
    printJsonLine({ event: "done", ...outcomeJson(progress) });
  }

  onStep(progress: IngestionProgress): void {
    this.#lastStage = undefined;
    this.onEnd(progress);
  }

  onNote(event: string, facts: Readonly<Record<string, unknown>>): void {
    printJsonLine({ event, ...facts });
  }

  close(): void {}

  #onProgress(progress: IngestionProgress): void {
    const now = performance.now();
    if (progress.stage === this.#lastStage && now - this.#lastAt < everyMs) return;
    this.#lastAt = now;
    this.#lastStage = progress.stage;
    printJsonLine({ event: "progress", ...figuresJson(progress) });
  }
}

function figuresJson(progress: IngestionProgress) {
  return {
    ingestion_id: progress.ingestionId,
    status: statusName(progress.status),
    stage: stageName(progress.stage),
    files_total: Number(progress.filesTotal),
    files_read: Number(progress.filesRead),
    files_done: Number(progress.filesDone),
    files_failed: Number(progress.filesFailed),
    chunks_split: Number(progress.chunksSplit),
    chunks_embedded: Number(progress.chunksEmbedded),
    chunks_stored: Number(progress.chunksStored),
    chunks_unchanged: Number(progress.chunksUnchanged),
    chunks_deleted: Number(progress.chunksDeleted),
    elapsed_seconds: secondsOf(progress.elapsed),
    current_file: progress.currentFile,
    slowest: progress.slowest,
  };
}

function outcomeJson(progress: IngestionProgress) {
  return {
    ...figuresJson(progress),
    busy_seconds: Object.fromEntries(
      Object.entries(progress.busy).map(([part, time]) => [part, secondsOf(time)]),
    ),
    files_skipped: Object.fromEntries(
      Object.entries(progress.filesSkipped).map(([why, files]) => [why, Number(files)]),
    ),
    skipped_examples: progress.skippedExamples.map(({ path, reason, detail }) => ({
      path,
      reason,
      ...(detail === "" ? {} : { detail }),
    })),
    errors: progress.errors.map(({ path, error }) => ({
      path,
      reason: ErrorReason[error?.reason ?? ErrorReason.UNSPECIFIED],
      message: error?.message ?? "",
    })),
    message: progress.message,
  };
}

/** An ingestion as the service has recorded it. */
export function ingestionJson(ingestion: Ingestion) {
  const { id, repoId, path, status, progress, createTime, startTime, endTime } = ingestion;
  return {
    id,
    repo_id: repoId,
    path,
    status: statusName(status),
    create_time: timeOf(createTime),
    start_time: timeOf(startTime),
    end_time: timeOf(endTime),
    progress: progress === undefined ? null : outcomeJson(progress),
  };
}
