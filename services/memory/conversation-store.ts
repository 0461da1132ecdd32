import type { Turn } from "./memory.ts";
import type { Neighbours } from "./scoring.ts";

/** A turn and those around it, oldest first. */
export interface TurnContext {
  readonly before: readonly Turn[];
  readonly turn: Turn;
  readonly after: readonly Turn[];
}

export interface ConversationStore {
  /** Whether the tenant has any turn. */
  hasTurns(tenant: string, signal?: AbortSignal): Promise<boolean>;
  /**
   * The memories of the turns before and after each of these memories' turns, by memory id; those
   * that are no turns are left out. Of several turns of one memory the latest counts.
   */
  neighbours(
    tenant: string,
    memoryIds: readonly string[],
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<string, Neighbours>>;
  /**
   * The turns of these memories with up to `turns` on either side, by memory id, as `neighbours`
   * chooses them. Begins with the first id and ends where all turns together would have more than
   * `maxBytes` of content and metadata.
   */
  contexts(
    tenant: string,
    memoryIds: readonly string[],
    turns: number,
    maxBytes: number,
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<string, TurnContext>>;
  turn(tenant: string, id: string, signal?: AbortSignal): Promise<Turn | undefined>;
  /** Turns of a session by sequence, those after `afterSequence`; `agentId` empty: of any agent. */
  listTurns(
    tenant: string,
    query: {
      readonly sessionId: string;
      readonly agentId: string;
      readonly afterSequence: bigint;
      readonly limit: number;
    },
    signal?: AbortSignal,
  ): Promise<Turn[]>;
}
