import { newId } from "../../../shared/ids.ts";
import type { Queryable } from "../../../shared/postgres/queryable.ts";
import { withRetry } from "../../../shared/postgres/retry.ts";
import type { PendingEmbedding } from "../operation-store.ts";
import type { OutboxItem, OutboxKind, OutboxStore } from "../outbox-store.ts";
import type { InsightToDeliver } from "../ports.ts";
import { after, type OutboxRow, outboxColumns, toItem } from "./rows.ts";

/** The outbox in PostgreSQL. */
export class PostgresOutboxStore implements OutboxStore {
  readonly #postgres: Queryable;

  constructor(postgres: Queryable) {
    this.#postgres = postgres;
  }

  async take(kind: OutboxKind, limit: number, leaseMs: number, signal?: AbortSignal) {
    // skip locked: several workers, also of several processes, share the outbox.
    return this.#takeWhere(
      `select tenant, id from memory_outbox
       where kind = $2 and available_at <= now()
       order by available_at, id limit $3 for update skip locked`,
      [leaseMs, kind, limit],
      signal,
    );
  }

  async takeInsights(
    tenant: string,
    memoryIds: readonly string[],
    leaseMs: number,
    signal?: AbortSignal,
  ) {
    return this.#takeWhere(
      `select tenant, id from memory_outbox
       where tenant = $2 and kind = 'insight' and subject = any($3::text[])
       order by id for update skip locked`,
      [leaseMs, tenant, [...memoryIds]],
      signal,
    );
  }

  async #takeWhere(
    due: string,
    params: readonly unknown[],
    signal: AbortSignal | undefined,
  ): Promise<OutboxItem[]> {
    const { rows } = await withRetry(
      () =>
        this.#postgres.query<OutboxRow>(
          `with due as (${due}), taken as (
             update memory_outbox as item
             set attempts = attempts + 1, available_at = ${after("$1")}
             from due where item.tenant = due.tenant and item.id = due.id
             returning item.*
           )
           select ${outboxColumns} from taken order by id`,
          params,
          signal,
        ),
      { signal },
    );
    return rows.map(toItem);
  }

  async remove(items: readonly Pick<OutboxItem, "tenant" | "id">[], signal?: AbortSignal) {
    if (items.length === 0) return;
    await this.#change("delete from memory_outbox where (tenant, id) in", items, [], signal);
  }

  async putBack(
    items: readonly Pick<OutboxItem, "tenant" | "id">[],
    delayMs: number,
    signal?: AbortSignal,
  ) {
    if (items.length === 0) return;
    await this.#change(
      `update memory_outbox set available_at = ${after("$3")} where (tenant, id) in`,
      items,
      [delayMs],
      signal,
    );
  }

  async #change(
    statement: string,
    items: readonly Pick<OutboxItem, "tenant" | "id">[],
    more: readonly unknown[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const tenants = items.map(({ tenant }) => tenant);
    const ids = items.map(({ id }) => id);
    await withRetry(
      () =>
        this.#postgres.query(
          `${statement} (select * from unnest($1::text[], $2::text[]))`,
          [tenants, ids, ...more],
          signal,
        ),
      { signal },
    );
  }

  async waitingInsights(tenant: string, memoryIds: readonly string[], signal?: AbortSignal) {
    const { rows } = await this.#postgres.query<{ subject: string }>(
      `select subject from memory_outbox
       where tenant = $1 and kind = 'insight' and subject = any($2::text[])`,
      [tenant, [...memoryIds]],
      signal,
    );
    return new Set(rows.map(({ subject }) => subject));
  }

  async waiting(signal?: AbortSignal): Promise<Readonly<Record<string, number>>> {
    const { rows } = await this.#postgres.query<{ kind: string; count: number }>(
      "select kind, count(*)::int as count from memory_outbox group by kind",
      [],
      signal,
    );
    return Object.fromEntries(rows.map(({ kind, count }) => [kind, count]));
  }

  async addEmbeddings(
    tenant: string,
    pending: readonly PendingEmbedding[],
    delayMs: number,
    signal?: AbortSignal,
  ) {
    if (pending.length === 0) return;
    await withRetry(() => queueEmbeddings(this.#postgres, tenant, pending, delayMs, signal), {
      signal,
    });
  }

  async removeEmbeddings(tenant: string, memoryIds: readonly string[], signal?: AbortSignal) {
    if (memoryIds.length === 0) return;
    await withRetry(
      () =>
        this.#postgres.query(
          `delete from memory_outbox
           where tenant = $1 and kind = 'embedding' and subject = any($2::text[])`,
          [tenant, [...memoryIds]],
          signal,
        ),
      { signal },
    );
  }
}

/** Queues documents for embedding, each once. In order of id, so that two writers do not deadlock. */
export async function queueEmbeddings(
  queryable: Queryable,
  tenant: string,
  pending: readonly PendingEmbedding[],
  delayMs: number,
  signal?: AbortSignal,
): Promise<void> {
  if (pending.length === 0) return;
  const unique = [...new Map(pending.map((one) => [one.memoryId, one])).values()].sort((a, b) =>
    a.memoryId < b.memoryId ? -1 : 1,
  );
  await queryable.query(
    `insert into memory_outbox (tenant, id, kind, subject, payload, available_at)
     select $1, item.id, 'embedding', item.subject,
            jsonb_build_object('dedupScope', item.dedup_scope), ${after("$5")}
     from unnest($2::text[], $3::text[], $4::text[]) as item (id, subject, dedup_scope)
     on conflict (tenant, kind, subject) do update
     set payload = excluded.payload, available_at = excluded.available_at`,
    [
      tenant,
      unique.map(() => newId()),
      unique.map(({ memoryId }) => memoryId),
      unique.map(({ dedupScope }) => dedupScope),
      delayMs,
    ],
    signal,
  );
}

/** Queues insights for Session-Buddy. One that waits already waits on under its own id. */
export async function queueInsights(
  queryable: Queryable,
  tenant: string,
  insights: readonly InsightToDeliver[],
  signal?: AbortSignal,
): Promise<void> {
  if (insights.length === 0) return;
  const sorted = insights.toSorted((a, b) => (a.memoryId < b.memoryId ? -1 : 1));
  await queryable.query(
    `insert into memory_outbox (tenant, id, kind, subject, payload, available_at)
     select $1, item.id, 'insight', item.subject, item.payload, now()
     from unnest($2::text[], $3::text[], $4::jsonb[]) as item (id, subject, payload)
     on conflict (tenant, kind, subject) do nothing`,
    [
      tenant,
      sorted.map(() => newId()),
      sorted.map(({ memoryId }) => memoryId),
      sorted.map((insight) => JSON.stringify(insight)),
    ],
    signal,
  );
}
