import { newId } from "../../../shared/ids.ts";
import type { Postgres, Queryable } from "../../../shared/postgres/postgres.ts";
import { withRetry } from "../../../shared/postgres/retry.ts";
import type { DeletionStore } from "../deletion-store.ts";
import { unmark } from "./operation-store.ts";
import { after } from "./rows.ts";

/** Deletions in PostgreSQL. */
export class PostgresDeletionStore implements DeletionStore {
  readonly #postgres: Postgres;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
  }

  async forget(
    tenant: string,
    memoryIds: readonly string[],
    graceMs: number,
    signal?: AbortSignal,
  ): Promise<number> {
    if (memoryIds.length === 0) return 0;
    const ids = memoryIds.toSorted();
    const forget = async (tx: Queryable) => {
      const turns = await tx.query<{ id: string }>(
        `delete from agent_conversations
         where tenant = $1 and memory_id = any($2::text[]) returning id`,
        [tenant, ids],
        signal,
      );
      const executions = await tx.query(
        "delete from workflow_executions where tenant = $1 and memory_id = any($2::text[])",
        [tenant, ids],
        signal,
      );
      await tx.query(
        "delete from memory_versions where tenant = $1 and memory_id = any($2::text[])",
        [tenant, ids],
        signal,
      );
      await blankRequests(tx, tenant, [...ids, ...turns.rows.map(({ id }) => id)], signal);
      await forgetWaiting(tx, tenant, ids, graceMs, signal);
      return turns.rowCount + executions.rowCount;
    };
    return withRetry(() => this.#postgres.transaction(forget, { signal }), { signal });
  }

  async deleted(tenant: string, memoryIds: readonly string[], signal?: AbortSignal) {
    if (memoryIds.length === 0) return;
    await withRetry(
      () =>
        this.#postgres.query(
          `delete from memory_outbox
           where tenant = $1 and kind = 'deletion' and subject = any($2::text[])
             and not (payload @> '{"twice": true}')`,
          [tenant, [...memoryIds]],
          signal,
        ),
      { signal },
    );
  }

  async unmark(tenant: string, memoryIds: readonly string[], signal?: AbortSignal) {
    if (memoryIds.length === 0) return;
    await withRetry(() => unmark(this.#postgres, tenant, memoryIds, signal), { signal });
  }
}

/**
 * A hash of the payload tells whether somebody knows it; what is left is that the id was used, so
 * that a late repetition does not bring back what was deleted.
 */
async function blankRequests(
  tx: Queryable,
  tenant: string,
  subjects: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  await tx.query(
    `update request_ids set payload_hash = '', subject = ''
     where tenant = $1 and subject = any($2::text[])`,
    [tenant, [...subjects]],
    signal,
  );
}

async function forgetWaiting(
  tx: Queryable,
  tenant: string,
  ids: readonly string[],
  graceMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  await tx.query(
    `delete from memory_outbox
     where tenant = $1 and kind in ('insight', 'update') and subject = any($2::text[])`,
    [tenant, [...ids]],
    signal,
  );
  // What waited for a vector may be in the hands of a worker that writes the document once more.
  await tx.query(
    `with waited as (
       delete from memory_outbox
       where tenant = $1 and kind = 'embedding' and subject = any($2::text[])
       returning subject
     )
     insert into memory_outbox as old (tenant, id, kind, subject, payload, available_at)
     select $1, mark.id, 'deletion', mark.subject,
            case when waited.subject is null then '{}' else '{"twice": true}' end::jsonb,
            ${after("$4")}
     from unnest($2::text[], $3::text[]) as mark (subject, id)
     left join waited on waited.subject = mark.subject
     on conflict (tenant, kind, subject) do update
     set payload = old.payload || excluded.payload, available_at = excluded.available_at`,
    [tenant, [...ids], ids.map(() => newId()), graceMs],
    signal,
  );
  // Operations are few: those that are cut off, and those of this instant.
  const kept = (list: string, id: string) => `coalesce(
       (select jsonb_agg(kept.one order by kept.place)
        from jsonb_array_elements(payload -> '${list}') with ordinality as kept (one, place)
        where not kept.one ->> '${id}' = any($2::text[])), '[]')`;
  await tx.query(
    `update memory_outbox
     set payload = payload || jsonb_build_object(
       'documents', ${kept("documents", "id")},
       'insights', ${kept("insights", "memoryId")},
       'mainCount',
       (select count(*)
        from jsonb_array_elements(payload -> 'documents') with ordinality as kept (one, place)
        where kept.place <= (payload ->> 'mainCount')::int
          and not kept.one ->> 'id' = any($2::text[])))
     where tenant = $1 and kind in ('operation', 'update')
       and exists (
         select from jsonb_array_elements(payload -> 'documents') as document
         where document ->> 'id' = any($2::text[]))`,
    [tenant, [...ids]],
    signal,
  );
  await tx.query(
    `delete from memory_outbox
     where tenant = $1 and kind = 'operation' and payload -> 'documents' = '[]'`,
    [tenant],
    signal,
  );
}
