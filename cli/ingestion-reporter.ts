import type { IngestionProgress } from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import type { FollowEvent } from "./follow-ingestion.ts";

/** Tells whoever sits before the command line, or reads its output, how an ingestion goes. */
export interface IngestionReporter {
  onEvent(event: FollowEvent): void;
  /** Its end, once. */
  onEnd(progress: IngestionProgress): void;
  /** The end of one of many runs that keep a repository in step. */
  onStep(progress: IngestionProgress): void;
  /** Something else to know, by a stable name for programs and in words for people. */
  onNote(event: string, facts: Readonly<Record<string, unknown>>, words: string): void;
  /** Leaves the terminal as it was. */
  close(): void;
}
