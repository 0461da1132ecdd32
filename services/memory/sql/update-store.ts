import type { Postgres, Queryable } from "../../../shared/postgres/postgres.ts";
import { withRetry } from "../../../shared/postgres/retry.ts";
import type { MemoryLinks } from "../memory-change.ts";
import type { Operation, PendingEmbedding } from "../operation-store.ts";
import type { MemoryUpdate, MemoryVersion, UpdateStore } from "../update-store.ts";
import { unmark } from "./operation-store.ts";
import { queueEmbeddings, queueInsights } from "./outbox-store.ts";
import { after, microsOf, toOperation } from "./rows.ts";
import { fromSnapshot, toSnapshot, toUpdate, toUpdatePayload } from "./update-rows.ts";

/** Bytes of one page of versions. */
const mostPageBytes = 8 * 1024 * 1024;

/** Changes of memories, and what they were before, in PostgreSQL. */
export class PostgresUpdateStore implements UpdateStore {
  readonly #postgres: Postgres;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
  }

  async links(
    tenant: string,
    memoryId: string,
    signal?: AbortSignal,
  ): Promise<MemoryLinks & { readonly version: number }> {
    const { rows } = await this.#postgres.query<MemoryLinks & { readonly version: number }>(
      `select
         exists (select from agent_conversations where tenant = $1 and memory_id = $2) as turn,
         exists (select from workflow_executions where tenant = $1 and memory_id = $2) as execution,
         ${latestVersion} as version`,
      [tenant, memoryId],
      signal,
    );
    return rows[0] ?? { turn: false, execution: false, version: 0 };
  }

  async operationOf(
    tenant: string,
    memoryId: string,
    signal?: AbortSignal,
  ): Promise<Operation | undefined> {
    const { rows } = await this.#postgres.query<{ id: string; payload: unknown }>(
      `select id, payload from memory_outbox
       where tenant = $1 and kind = 'operation'
         and payload -> 'documents' @> jsonb_build_array(jsonb_build_object('id', $2::text))
       order by id limit 1`,
      [tenant, memoryId],
      signal,
    );
    return rows[0] && toOperation(rows[0].id, rows[0].payload);
  }

  async beginUpdate(
    tenant: string,
    update: MemoryUpdate,
    { version, graceMs }: Parameters<UpdateStore["beginUpdate"]>[2],
    signal?: AbortSignal,
  ): ReturnType<UpdateStore["beginUpdate"]> {
    const { id, memoryId, documents } = update;
    const begin = async (tx: Queryable) => {
      // An update of nothing, where the memory has one under way: its row is read as it is by then.
      const { rows } = await tx.query<{ id: string; subject: string; payload: unknown }>(
        `insert into memory_outbox as old (tenant, id, kind, subject, payload, available_at)
         values ($1, $2, 'update', $3, $4::jsonb, ${after("$5")})
         on conflict (tenant, kind, subject) do update set subject = old.subject
         returning id, subject, payload`,
        [tenant, id, memoryId, JSON.stringify(toUpdatePayload(update)), graceMs],
        signal,
      );
      const [row] = rows;
      if (row === undefined) throw new Error("beginning an update answers its row");
      if (row.id !== id) {
        const underWay = toUpdate(row.id, row.subject, row.payload);
        return { kind: "underWay", update: underWay } as const;
      }
      // A statement of its own: the one above may have waited for the end of another update, and
      // still sees what was before that.
      const latest = await tx.query<{ version: number }>(
        `select ${latestVersion} as version`,
        [tenant, memoryId],
        signal,
      );
      if (latest.rows[0]?.version !== version) {
        await removeUpdate(tx, tenant, update, signal);
        return { kind: "stale" } as const;
      }
      const ids = documents.map((document) => document.id);
      if (ids.length > 0) await unmark(tx, tenant, ids, signal);
      return { kind: "begun" } as const;
    };
    return withRetry(() => this.#postgres.transaction(begin, { signal }), { signal });
  }

  async finishUpdate(
    tenant: string,
    update: MemoryUpdate,
    withoutVector: readonly PendingEmbedding[],
    signal?: AbortSignal,
  ): Promise<boolean> {
    const finish = async (tx: Queryable) => {
      if (!(await removeUpdate(tx, tenant, update, signal))) return false;
      await tx.query(
        `insert into memory_versions (tenant, memory_id, version, update_id, memory)
         values ($1, $2, ${latestVersion} + 1, $3, $4::jsonb)`,
        [tenant, update.memoryId, update.id, JSON.stringify(toSnapshot(update.before))],
        signal,
      );
      await queueInsights(tx, tenant, update.insights, signal);
      await queueEmbeddings(tx, tenant, withoutVector, 0, signal);
      return true;
    };
    return withRetry(() => this.#postgres.transaction(finish, { signal }), { signal });
  }

  async abandonUpdate(
    tenant: string,
    update: MemoryUpdate,
    signal?: AbortSignal,
  ): Promise<"abandoned" | "finished"> {
    if (await withRetry(() => removeUpdate(this.#postgres, tenant, update, signal), { signal })) {
      return "abandoned";
    }
    const { rowCount } = await this.#postgres.query(
      `select from memory_versions where tenant = $1 and memory_id = $2 and update_id = $3`,
      [tenant, update.memoryId, update.id],
      signal,
    );
    return rowCount > 0 ? "finished" : "abandoned";
  }

  async listVersions(
    tenant: string,
    { memoryId, before, limit }: Parameters<UpdateStore["listVersions"]>[1],
    signal?: AbortSignal,
  ): Promise<{ readonly versions: MemoryVersion[]; readonly more: boolean }> {
    const { rows } = await this.#postgres.query<{
      version: number;
      memory: unknown;
      replaced: string;
      more: boolean;
    }>(
      `with found as materialized (
         select version, octet_length(memory::text) as bytes from memory_versions
         where tenant = $1 and memory_id = $2 and ($3::int is null or version < $3)
         order by version desc limit $4::int + 1
       ), sized as (
         select version, row_number() over newest as place, sum(bytes) over newest as bytes
         from found window newest as (order by version desc)
       ), page as materialized (
         select version from sized
         where place <= $4::int and (place = 1 or bytes <= ${mostPageBytes})
       )
       select v.version, v.memory, ${microsOf("v.replaced_at")} as replaced,
              (select count(*) from found) > (select count(*) from page) as more
       from page
         join memory_versions as v
           on v.tenant = $1 and v.memory_id = $2 and v.version = page.version
       order by v.version desc`,
      [tenant, memoryId, before ?? null, limit],
      signal,
    );
    const versions = rows.map(({ version, memory, replaced }) => ({
      version,
      memory: fromSnapshot(memory),
      replaceTime: BigInt(replaced),
    }));
    return { versions, more: rows[0]?.more ?? false };
  }

  async versionedMemories(
    after: { readonly tenant: string; readonly memoryId: string } | undefined,
    limit: number,
    signal?: AbortSignal,
  ): Promise<{ readonly tenant: string; readonly memoryId: string }[]> {
    const { rows } = await this.#postgres.query<{ tenant: string; memory_id: string }>(
      `select distinct tenant, memory_id from memory_versions
       where (tenant, memory_id) > ($1::text collate "C", $2::text collate "C")
       order by tenant, memory_id limit $3`,
      [after?.tenant ?? "", after?.memoryId ?? "", limit],
      signal,
    );
    return rows.map(({ tenant, memory_id: memoryId }) => ({ tenant, memoryId }));
  }

  async forgetVersions(
    tenant: string,
    memoryIds: readonly string[],
    signal?: AbortSignal,
  ): Promise<number> {
    if (memoryIds.length === 0) return 0;
    const { rowCount } = await this.#postgres.query(
      "delete from memory_versions where tenant = $1 and memory_id = any($2::text[])",
      [tenant, [...memoryIds]],
      signal,
    );
    return rowCount;
  }
}

/** Of parameters 1 and 2, tenant and memory. */
const latestVersion = `(select coalesce(max(version), 0)
  from memory_versions where tenant = $1 and memory_id = $2)`;

/** False where the update is not there any more. */
async function removeUpdate(
  queryable: Queryable,
  tenant: string,
  { id }: MemoryUpdate,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { rowCount } = await queryable.query(
    "delete from memory_outbox where tenant = $1 and id = $2 and kind = 'update'",
    [tenant, id],
    signal,
  );
  return rowCount > 0;
}
