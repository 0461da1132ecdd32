import type { Queryable } from "../../../shared/postgres/queryable.ts";
import type { ConversationStore, TurnContext } from "../conversation-store.ts";
import type { Turn } from "../memory.ts";
import type { Neighbours } from "../scoring.ts";
import { readTurn } from "./operation-store.ts";
import { type TurnRow, toTurn, turnColumns } from "./rows.ts";

/** Conversations in PostgreSQL. */
export class PostgresConversationStore implements ConversationStore {
  readonly #postgres: Queryable;

  constructor(postgres: Queryable) {
    this.#postgres = postgres;
  }

  async hasTurns(tenant: string, signal?: AbortSignal): Promise<boolean> {
    const { rows } = await this.#postgres.query<{ found: boolean }>(
      {
        name: "tenant_has_turns",
        text: "select exists (select from agent_conversations where tenant = $1) as found",
      },
      [tenant],
      signal,
    );
    return rows[0]?.found === true;
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

  async neighbours(
    tenant: string,
    memoryIds: readonly string[],
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<string, Neighbours>> {
    const { rows } = await this.#postgres.query<NeighbourRow>(
      {
        name: "conversation_neighbours",
        text: `select hit.id, previous.memory_id as before, next.memory_id as after
          from unnest($2::text[]) as hit(id)
          cross join lateral (${turnOfHit}) as turn
          left join lateral (
            select memory_id from agent_conversations
            where tenant = $1 and session_id = turn.session_id and sequence < turn.sequence
            order by sequence desc limit 1
          ) as previous on true
          left join lateral (
            select memory_id from agent_conversations
            where tenant = $1 and session_id = turn.session_id and sequence > turn.sequence
            order by sequence limit 1
          ) as next on true`,
      },
      [tenant, memoryIds],
      signal,
    );
    return new Map(
      rows.map(({ id, before, after }) => [
        id,
        { before: before ?? undefined, after: after ?? undefined },
      ]),
    );
  }

  async contexts(
    tenant: string,
    memoryIds: readonly string[],
    turns: number,
    maxBytes: number,
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<string, TurnContext>> {
    const { rows } = await this.#postgres.query<ContextRow>(
      {
        name: "conversation_contexts",
        text: contextsStatement,
      },
      [tenant, memoryIds, turns, maxBytes],
      signal,
    );
    const contexts = new Map<string, TurnContext>();
    for (const [id, found] of Map.groupBy(rows, ({ hit_id }) => hit_id)) {
      const at = found.findIndex(({ sequence, hit_sequence }) => sequence === hit_sequence);
      const [turn, ...after] = found.slice(at).map(toTurn);
      if (at < 0 || turn === undefined) continue;
      contexts.set(id, { before: found.slice(0, at).map(toTurn), turn, after });
    }
    return contexts;
  }
}

interface NeighbourRow {
  readonly id: string;
  readonly before: string | null;
  readonly after: string | null;
}

interface ContextRow extends TurnRow {
  readonly hit_id: string;
  readonly hit_sequence: string;
}

/** The latest turn of a hit's memory. */
const turnOfHit = `select session_id, sequence from agent_conversations
  where tenant = $1 and memory_id = hit.id order by sequence desc limit 1`;

/**
 * How large all turns up to and with those of a hit are is known before any content is read; a hit
 * comes with its whole context or with none.
 */
const contextsStatement = `
with place as materialized (
  select hit.id as hit_id, hit.rank, turn.session_id, turn.sequence as hit_sequence
  from unnest($2::text[]) with ordinality as hit(id, rank)
  cross join lateral (${turnOfHit}) as turn
),
around as materialized (
  select place.*, beside.sequence, beside.bytes
  from place cross join lateral (
    (select sequence, octet_length(content) + pg_column_size(metadata) as bytes
     from agent_conversations
     where tenant = $1 and session_id = place.session_id and sequence < place.hit_sequence
     order by sequence desc limit $3)
    union all
    (select sequence, octet_length(content) + pg_column_size(metadata)
     from agent_conversations
     where tenant = $1 and session_id = place.session_id and sequence >= place.hit_sequence
     order by sequence limit $3::int8 + 1)
  ) as beside
),
fitting as (
  select *, sum(bytes) over (order by rank range unbounded preceding) as bytes_so_far from around
)
select fitting.hit_id, fitting.hit_sequence, turn.*
from fitting cross join lateral (
  select ${turnColumns} from agent_conversations
  where tenant = $1 and session_id = fitting.session_id and sequence = fitting.sequence
) as turn
where fitting.bytes_so_far <= $4::int8
order by fitting.rank, fitting.sequence`;
