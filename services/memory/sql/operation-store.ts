import type { Postgres, Queryable } from "../../../shared/postgres/postgres.ts";
import { withRetry } from "../../../shared/postgres/retry.ts";
import type { Turn } from "../memory.ts";
import type {
  KnownRequest,
  NewTurn,
  Operation,
  OperationEnd,
  OperationStore,
  RequestKey,
} from "../store.ts";
import { queueEmbeddings, queueInsights } from "./outbox-store.ts";
import { after, type TurnRow, toOperation, toPayload, toTurn, turnColumns } from "./rows.ts";

/** How long a request id is remembered. */
const remembered = "interval '7 days'";

type Key = Pick<RequestKey, "method" | "requestId">;

/** Operations in PostgreSQL. */
export class PostgresOperationStore implements OperationStore {
  readonly #postgres: Postgres;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
  }

  async begin(
    tenant: string,
    operation: Operation,
    details: Parameters<OperationStore["begin"]>[2],
    signal?: AbortSignal,
  ): Promise<{ readonly known: KnownRequest } | { readonly turn: Turn | undefined }> {
    const { turn, request, graceMs } = details;
    const begin = async (tx: Queryable) => {
      // When a lost connection leaves open whether this was committed, it runs again: the
      // operation's own row then tells that it was.
      const { rowCount } = await tx.query(
        `insert into memory_outbox (tenant, id, kind, subject, payload, available_at)
         values ($1, $2, 'operation', $2, $3, ${after("$4")})
         on conflict (tenant, id) do nothing`,
        [tenant, operation.id, JSON.stringify(toPayload(operation)), graceMs],
        signal,
      );
      if (rowCount === 0) {
        return { turn: turn && (await readTurn(tx, tenant, turn.id, signal)) };
      }
      if (request !== undefined) {
        const known = await addRequest(tx, tenant, operation, request, signal);
        if (known !== undefined) {
          await removeOperation(tx, tenant, operation.id, signal);
          return { known };
        }
      }
      await unmark(
        tx,
        tenant,
        operation.documents.map(({ id }) => id),
        signal,
      );
      return { turn: turn && (await addTurn(tx, tenant, turn, signal)) };
    };
    return withRetry(() => this.#postgres.transaction(begin, { signal }), { signal });
  }

  async finish(
    tenant: string,
    operation: Operation,
    { subject, deduplicated, withoutVector }: OperationEnd,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const finish = async (tx: Queryable) => {
      if (!(await removeOperation(tx, tenant, operation.id, signal))) return false;
      const { turnId, request } = operation;
      if (turnId !== undefined) {
        await tx.query(
          `update agent_conversations set memory_id = $3
           where tenant = $1 and id = $2 and memory_id <> $3`,
          [tenant, turnId, subject],
          signal,
        );
      }
      if (request !== undefined) {
        await tx.query(
          `update request_ids set subject = $4, deduplicated = $5
           where tenant = $1 and method = $2 and request_id = $3`,
          [tenant, request.method, request.requestId, turnId ?? subject, deduplicated],
          signal,
        );
      }
      await queueInsights(tx, tenant, operation.insights, signal);
      await queueEmbeddings(tx, tenant, withoutVector, 0, signal);
      return true;
    };
    return withRetry(() => this.#postgres.transaction(finish, { signal }), { signal });
  }

  async abandon(tenant: string, operation: Operation, signal?: AbortSignal): Promise<boolean> {
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
      return true;
    };
    return withRetry(() => this.#postgres.transaction(abandon, { signal }), { signal });
  }

  async knownRequest(
    tenant: string,
    key: Key,
    signal?: AbortSignal,
  ): Promise<KnownRequest | undefined> {
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

/** Resolves to the request that is known under this id already. */
async function addRequest(
  tx: Queryable,
  tenant: string,
  operation: Operation,
  { method, requestId, payloadHash }: RequestKey,
  signal: AbortSignal | undefined,
): Promise<KnownRequest | undefined> {
  const { rowCount } = await tx.query(
    `insert into request_ids as old
       (tenant, method, request_id, payload_hash, operation_id, subject)
     values ($1, $2, $3, $4, $5, $6)
     on conflict (tenant, method, request_id) do update
     set payload_hash = excluded.payload_hash, operation_id = excluded.operation_id,
         subject = excluded.subject, deduplicated = false, created_at = now()
     where old.created_at < now() - ${remembered}`,
    [
      tenant,
      method,
      requestId,
      payloadHash,
      operation.id,
      operation.turnId ?? operation.documents[0]?.id ?? "",
    ],
    signal,
  );
  return rowCount > 0 ? undefined : readRequest(tx, tenant, { method, requestId }, signal);
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

/** The session's row is locked until the end of the transaction: nobody else gets this place. */
async function addTurn(
  tx: Queryable,
  tenant: string,
  turn: NewTurn,
  signal: AbortSignal | undefined,
): Promise<Turn | undefined> {
  const { rows } = await tx.query<TurnRow>(
    `with place as (
       insert into conversation_sessions as session (tenant, session_id, last_sequence)
       values ($1, $4, 1)
       on conflict (tenant, session_id) do update set last_sequence = session.last_sequence + 1
       returning last_sequence
     )
     insert into agent_conversations
       (tenant, id, agent_id, session_id, sequence, role, content, metadata, repo_id, memory_id)
     select $1, $2, $3, $4, place.last_sequence, $5, $6, $7, nullif($8, ''), $9 from place
     returning ${turnColumns}`,
    [
      tenant,
      turn.id,
      turn.agentId,
      turn.sessionId,
      turn.role,
      turn.content,
      JSON.stringify(turn.metadata),
      turn.repoId,
      turn.memoryId,
    ],
    signal,
  );
  return rows[0] && toTurn(rows[0]);
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
