import type { Queryable } from "../../../shared/postgres/queryable.ts";
import type { Turn } from "../memory.ts";
import type { ConversationStore } from "../store.ts";
import { readTurn } from "./operation-store.ts";
import { type TurnRow, toTurn, turnColumns } from "./rows.ts";

/** Conversations in PostgreSQL. */
export class PostgresConversationStore implements ConversationStore {
  readonly #postgres: Queryable;

  constructor(postgres: Queryable) {
    this.#postgres = postgres;
  }

  turn(tenant: string, id: string, signal?: AbortSignal): Promise<Turn | undefined> {
    return readTurn(this.#postgres, tenant, id, signal);
  }

  async listTurns(
    tenant: string,
    { sessionId, agentId, afterSequence, limit }: Parameters<ConversationStore["listTurns"]>[1],
    signal?: AbortSignal,
  ): Promise<Turn[]> {
    const { rows } = await this.#postgres.query<TurnRow>(
      `select ${turnColumns} from agent_conversations
       where tenant = $1 and session_id = $2 and sequence > $3::int8
         and ($4 = '' or agent_id = $4)
       order by sequence limit $5`,
      [tenant, sessionId, afterSequence.toString(), agentId, limit],
      signal,
    );
    return rows.map(toTurn);
  }
}
