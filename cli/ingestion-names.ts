import {
  IngestionStage,
  IngestionStatus,
} from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";

/** As `--status` takes them. */
export const statusNames = ["pending", "in_progress", "completed", "failed", "cancelled"] as const;
export type StatusName = (typeof statusNames)[number];

export function statusName(status: IngestionStatus): string {
  return IngestionStatus[status]?.toLowerCase() ?? String(status);
}

export function stageName(stage: IngestionStage): string {
  return IngestionStage[stage]?.toLowerCase() ?? String(stage);
}
