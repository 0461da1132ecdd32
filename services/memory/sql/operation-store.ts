import { contentHash } from "../../../shared/hash.ts";
import type { Postgres, Queryable } from "../../../shared/postgres/postgres.ts";
import { withRetry } from "../../../shared/postgres/retry.ts";
import type { Micros, Turn } from "../memory.ts";
import type {
  KnownRequest,
  NewTurn,
  Operation,
  OperationEnd,
  OperationStore,
  PendingEmbedding,
  RequestKey,
} from "../operation-store.ts";
import { OperationEnds } from "./operation-ends.ts";
import { queueEmbeddings, queueInsights } from "./outbox-store.ts";
import {
  after,
  type TurnRow,
  timeAt,
  toOperation,
  toPayload,
  toTurn,
  turnColumns,
} from "./rows.ts";

/** How long a request id is remembered. */
const remembered = "interval '7 days'";

type Key = Pick<RequestKey, "method" | "requestId">;

/** Operations in PostgreSQL. */
export class PostgresOperationStore implements OperationStore {
  readonly #postgres: Postgres;
  readonly #ends: OperationEnds;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
    this.#ends = new OperationEnds(postgres);
  }

  async begin(
    tenant: string,
    operation: Operation,
    details: Parameters<OperationStore["begin"]>[2],
    signal?: AbortSignal,
  ): Promise<{ readonly known: KnownRequest } | { readonly turn: Turn | undefined }> {
    const { turn, request } = details;
    const { text, params } = beginStatement(tenant, operation, details);
    const named = { name: `begin-${contentHash(text).slice(0, 16)}`, text };
    const { rows } = await withRetry(() => this.#postgres.query<BegunRow>(named, params, signal), {
      signal,
    });
    const [row] = rows;
    if (row === undefined) throw new Error("beginning an operation answers one row");
    if (request !== undefined && !row.fresh) {
      const known = await readRequest(this.#postgres, tenant, request, signal);
      if (known === undefined) throw new Error("a request id that is taken is known");
      return { known };
    }
    if (turn === undefined) return { turn: undefined };
    // Where a lost connection left open whether this was committed, it ran again and changed
    // nothing: the turn of the first time stands.
    if (row.id === null) return { turn: await readTurn(this.#postgres, tenant, turn.id, signal) };
    return { turn: toTurn(row as TurnRow) };
  }

  async finish(
    tenant: string,
    operation: Operation,
    { subject, deduplicated, withoutVector }: OperationEnd,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const { turnId, request, insights } = operation;
    const movedTo = subject === operation.documents[0]?.id ? undefined : subject;
    const alone =
      insights.length === 0 &&
      withoutVector.length === 0 &&
      (request === undefined || subject === undefined) &&
      (turnId === undefined || movedTo === undefined);
    if (alone) return this.#ends.end(tenant, operation.id, signal);
    const finish = async (tx: Queryable) => {
      if (!(await removeOperation(tx, tenant, operation.id, signal))) return false;
      if (turnId !== undefined && movedTo !== undefined) {
        await tx.query(
          `update agent_conversations set memory_id = $3
           where tenant = $1 and id = $2`,
          [tenant, turnId, movedTo],
          signal,
        );
      }
      if (request !== undefined && subject !== undefined) {
        await tx.query(
          `update request_ids set subject = $4, deduplicated = $5
           where tenant = $1 and method = $2 and request_id = $3`,
          [tenant, request.method, request.requestId, turnId ?? subject, deduplicated],
          signal,
        );
      }
      await queueInsights(tx, tenant, insights, signal);
      await queueEmbeddings(tx, tenant, withoutVector, 0, signal);
      return true;
    };
    return withRetry(() => this.#postgres.transaction(finish, { signal }), { signal });
  }

  endSoon(tenant: string, { id }: Operation): Promise<boolean> {
    return this.#ends.endSoon(tenant, id);
  }

  async abandon(
    tenant: string,
    operation: Operation,
    late: readonly PendingEmbedding[],
    signal?: AbortSignal,
  ): Promise<boolean> {
    const abandon = async (tx: Queryable) => {
      if (!(await removeOperation(tx, tenant, operation.id, signal))) return false;
      await tx.query(
        "delete from agent_conversations where tenant = $1 and id = $2",
        [tenant, operation.turnId ?? ""],
        signal,
      );
      await tx.query(
        `delete from request_ids
         where tenant = $1 and method = $2 and request_id = $3 and operation_id = $4`,
        [tenant, operation.request?.method ?? "", operation.request?.requestId ?? "", operation.id],
        signal,
      );
      await queueEmbeddings(tx, tenant, late, 0, signal);
      return true;
    };
    return withRetry(() => this.#postgres.transaction(abandon, { signal }), { signal });
  }

  knownRequest(tenant: string, key: Key, signal?: AbortSignal): Promise<KnownRequest | undefined> {
    return readRequest(this.#postgres, tenant, key, signal);
  }

  async openOperation(
    tenant: string,
    { method, requestId }: Key,
    signal?: AbortSignal,
  ): Promise<Operation | undefined> {
    const { rows } = await this.#postgres.query<{ id: string; payload: unknown }>(
      `select item.id, item.payload
       from request_ids as request
       join memory_outbox as item
         on item.tenant = request.tenant and item.id = request.operation_id
       where request.tenant = $1 and request.method = $2 and request.request_id = $3`,
      [tenant, method, requestId],
      signal,
    );
    return rows[0] && toOperation(rows[0].id, rows[0].payload);
  }

  async purgeRequests(signal?: AbortSignal): Promise<number> {
    const { rowCount } = await this.#postgres.query(
      `delete from request_ids where created_at < now() - ${remembered}`,
      [],
      signal,
    );
    return rowCount;
  }
}

/** False where the operation is not there any more. */
async function removeOperation(
  tx: Queryable,
  tenant: string,
  id: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { rowCount } = await tx.query(
    "delete from memory_outbox where tenant = $1 and id = $2",
    [tenant, id],
    signal,
  );
  return rowCount > 0;
}

interface BegunRow extends Partial<Omit<TurnRow, "id">> {
  /** False where the request id was known already. */
  readonly fresh: boolean;
  /** Of the turn that was recorded; null where none was. */
  readonly id: string | null;
}

/**
 * One statement, so that it is one transaction and one round trip: whoever stores waits for it. By
 * what an operation has there are few texts, and each is planned once for a connection.
 * Each part stands on the rows of the one before and does nothing where that did nothing.
 */
function beginStatement(
  tenant: string,
  operation: Operation,
  { turn, request, graceMs }: Parameters<OperationStore["begin"]>[2],
): { readonly text: string; readonly params: readonly unknown[] } {
  const params: unknown[] = [];
  const given = (value: unknown) => `$${params.push(value)}`;
  const who = `${given(tenant)}::text`;
  const operationId = `${given(operation.id)}::text`;
  const fresh =
    request === undefined
      ? "select true as fresh"
      : `insert into request_ids as old
           (tenant, method, request_id, payload_hash, operation_id, subject)
         values (${who}, ${given(request.method)}, ${given(request.requestId)},
                 ${given(request.payloadHash)}, ${operationId},
                 ${given(operation.turnId ?? operation.documents[0]?.id ?? "")})
         on conflict (tenant, method, request_id) do update
         set payload_hash = excluded.payload_hash, operation_id = excluded.operation_id,
             subject = excluded.subject, deduplicated = false, created_at = now()
         where old.created_at < now() - ${remembered}
         returning true as fresh`;
  const parts = [
    `fresh as (${fresh})`,
    `operation as (
       insert into memory_outbox (tenant, id, kind, subject, payload, available_at)
       select ${who}, ${operationId}, 'operation', ${operationId},
              ${given(JSON.stringify(toPayload(operation)))}::jsonb, ${after(given(graceMs))}
       from fresh
       on conflict (tenant, id) do nothing
       returning id
     )`,
  ];
  // The ids of the others are new, or were seen to before.
  const insightIds = operation.documents.slice(operation.mainCount).map(({ id }) => id);
  if (insightIds.length > 0) {
    parts.push(`unmarked as (
       delete from memory_outbox as mark using operation
       where mark.tenant = ${who} and mark.kind = 'deletion'
         and mark.subject = any(${given(insightIds)}::text[])
     )`);
  }
  parts.push(turn === undefined ? "turn as (select null as id)" : turnParts(turn, who, given));
  return {
    text: `with ${parts.join(", ")}
      select exists (select from fresh) as fresh, turn.*
      from (values (1)) as one left join turn on true`,
    params,
  };
}

/** The session's row is locked until the end of the statement: nobody else gets this place. */
function turnParts(turn: NewTurn, who: string, given: (value: unknown) => string): string {
  const sessionId = `${given(turn.sessionId)}::text`;
  return `place as (
      insert into conversation_sessions as session (tenant, session_id, last_sequence)
      select ${who}, ${sessionId}, 1 from operation
      on conflict (tenant, session_id) do update set last_sequence = session.last_sequence + 1
      returning last_sequence
    ), turn as (
      insert into agent_conversations
        (tenant, id, agent_id, session_id, sequence, role, content, metadata, repo_id, memory_id,
         created_at)
      select ${who}, ${given(turn.id)}, ${given(turn.agentId)}, ${sessionId},
             place.last_sequence, ${given(turn.role)}, ${given(turn.content)},
             ${given(JSON.stringify(turn.metadata))}::jsonb, nullif(${given(turn.repoId)}, ''),
             ${given(turn.memoryId)}, ${saidAt(turn.createTime, given)}
      from place
      returning ${turnColumns}
    )`;
}

function saidAt(time: Micros | undefined, given: (value: unknown) => string): string {
  return time === undefined ? "now()" : `least(now(), ${timeAt(given(time.toString()))})`;
}

async function readRequest(
  queryable: Queryable,
  tenant: string,
  { method, requestId }: Key,
  signal: AbortSignal | undefined,
): Promise<KnownRequest | undefined> {
  const { rows } = await queryable.query<{
    payload_hash: string;
    subject: string;
    deduplicated: boolean;
  }>(
    `select payload_hash, subject, deduplicated from request_ids
     where tenant = $1 and method = $2 and request_id = $3
       and created_at >= now() - ${remembered}`,
    [tenant, method, requestId],
    signal,
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  const { payload_hash: payloadHash, subject, deduplicated } = row;
  return { payloadHash, subject, deduplicated };
}

export async function readTurn(
  queryable: Queryable,
  tenant: string,
  id: string,
  signal?: AbortSignal,
): Promise<Turn | undefined> {
  const { rows } = await queryable.query<TurnRow>(
    `select ${turnColumns} from agent_conversations where tenant = $1 and id = $2`,
    [tenant, id],
    signal,
  );
  return rows[0] && toTurn(rows[0]);
}

/** New memories bear these ids: marks of deleted ones no longer speak of them. */
export async function unmark(
  queryable: Queryable,
  tenant: string,
  memoryIds: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  await queryable.query(
    `delete from memory_outbox
     where tenant = $1 and kind = 'deletion' and subject = any($2::text[])`,
    [tenant, [...memoryIds]],
    signal,
  );
}
