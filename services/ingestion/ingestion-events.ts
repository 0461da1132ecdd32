import type { Logger } from "../../shared/logging.ts";
import type { Ingestion } from "./ingestion.ts";
import type { IngestionEvents } from "./ingestions.ts";
import type { IngestionMetrics } from "./metrics.ts";

/** Tells operators, by log and figures, what happens to ingestions. */
export function reportEvents(logger: Logger, metrics: IngestionMetrics): IngestionEvents {
  const about = ({ id, repoId }: Ingestion) => ({ ingestion_id: id, repo_id: repoId });
  return {
    onStart: (ingestion) => logger.info(about(ingestion), "ingestion started"),
    onEnd: (ingestion, error) => {
      const { status, progress, startTime, endTime } = ingestion;
      const seconds =
        ((endTime?.getTime() ?? 0) - (startTime ?? endTime ?? new Date()).getTime()) / 1_000;
      metrics.ended(status, seconds, progress.filesDone);
      const { filesDone, filesFailed, chunksStored, chunksUnchanged, chunksDeleted } = progress;
      const facts = {
        ...about(ingestion),
        status,
        seconds,
        files_done: filesDone,
        files_failed: filesFailed,
        chunks_stored: chunksStored,
        chunks_unchanged: chunksUnchanged,
        chunks_deleted: chunksDeleted,
      };
      if (error === undefined) logger.info(facts, "ingestion ended");
      else logger.error({ ...facts, err: error }, "ingestion failed");
    },
    onRetry: (ingestion, error, pauseMs) => {
      metrics.retried(error.facts["dependency"] ?? "unknown");
      logger.warn({ ...about(ingestion), err: error, pause_ms: pauseMs }, "will try again");
    },
    onStored: (chunks) => metrics.stored(chunks),
    onFileFault: (ingestion, path, error) =>
      logger.error({ ...about(ingestion), path, err: error }, "a file could not be split"),
    onOrphan: (id) =>
      logger.warn(
        { ingestion_id: id },
        "an ingestion had lost its process and is recorded as failed",
      ),
    onFault: (what, error) => logger.error({ err: error }, what),
  };
}
