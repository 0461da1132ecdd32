import type { Logger } from "../../shared/logging.ts";
import type { DocumentStreamParts } from "./document-stream.ts";
import type { Ingestion } from "./ingestion.ts";
import type { IngestionEvents } from "./ingestions.ts";
import type { IngestionMetrics } from "./metrics.ts";

/** Tells operators, by log and figures, what happens to ingestions. */
export function reportEvents(logger: Logger, metrics: IngestionMetrics): IngestionEvents {
  const about = ({ id, repoId }: Ingestion) => ({ ingestion_id: id, repo_id: repoId });
  return {
    onStart: (ingestion, afterDeath) => {
      if (afterDeath) logger.warn(about(ingestion), "goes on with what a dead process has left");
      else logger.info(about(ingestion), "ingestion started");
    },
    onHandBack: (ingestion) => logger.info(about(ingestion), "ingestion handed back"),
    onEnd: (ingestion, error) => {
      const { status, progress, startTime, endTime, slowest, busyMs } = ingestion;
      for (const [stage, ms] of Object.entries(busyMs ?? {})) metrics.busy(stage, ms);
      const seconds =
        ((endTime?.getTime() ?? 0) - (startTime ?? endTime ?? new Date()).getTime()) / 1_000;
      metrics.ended(status, seconds, progress.filesDone, slowest);
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
        slowest,
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
      logger.error({ ...about(ingestion), path, err: error }, "a file could not be ingested"),
    onSettled: (id) => logger.warn({ ingestion_id: id }, "ended since its process is gone"),
    onFault: (what, error) => logger.error({ err: error }, what),
  };
}

/** The same for streams of documents. */
export function streamEvents(
  logger: Logger,
  metrics: IngestionMetrics,
): Pick<DocumentStreamParts, "onStored" | "onRetry" | "onDocumentFault" | "onFault"> {
  return {
    onStored: (chunks) => metrics.stored(chunks),
    onRetry: (error, pauseMs) => {
      metrics.retried(error.facts["dependency"] ?? "unknown");
      logger.warn({ err: error, pause_ms: pauseMs }, "will try again");
    },
    onDocumentFault: (error) => logger.error({ err: error }, "a document could not be ingested"),
    onFault: (what, error) => logger.error({ err: error }, what),
  };
}
