import {
  IngestionStage,
  IngestionStatus,
} from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";

export function statusName(status: IngestionStatus): string {
  return IngestionStatus[status]?.toLowerCase() ?? String(status);
}

export function stageName(stage: IngestionStage): string {
  return IngestionStage[stage]?.toLowerCase() ?? String(stage);
}
