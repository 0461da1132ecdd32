import type { Logger } from "../../../shared/logging.ts";
import type { IngestionMetrics } from "../metrics.ts";
import { doneOf } from "./migration-tally.ts";
import type { MigrationEvents, MigrationView } from "./migrations.ts";

/** Tells operators, by log and figures, what happens to migrations. */
export function reportMigrations(logger: Logger, metrics: IngestionMetrics): MigrationEvents {
  const about = ({ id, source, resumed }: MigrationView) => ({
    migration_id: id,
    dry_run: id === "",
    file: source.file,
    eras: source.eras,
    source_time_zone: source.timeZone,
    resumed,
  });
  return {
    onStart: (view) => logger.info(about(view), "migration started"),
    onEnd: (view, status, error) => {
      const facts = {
        ...about(view),
        status,
        seconds: view.elapsedMs / 1_000,
        rows: doneOf(view.figures),
        failed_by_reason: view.figures.failedByReason,
      };
      if (error === undefined) logger.info(facts, "migration ended");
      else logger.error({ ...facts, err: error }, "migration failed");
    },
    onRetry: (error, pauseMs) => {
      metrics.retried(error.facts["dependency"] ?? "unknown");
      logger.warn({ err: error, pause_ms: pauseMs }, "a migration will try again");
    },
    onFault: (what, error) => logger.error({ err: error }, what),
  };
}
