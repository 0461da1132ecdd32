import type { Postgres } from "../../shared/postgres/postgres.ts";
import type { Queryable } from "../../shared/postgres/queryable.ts";
import { type RetriedQuery, retriedQuery, withRetry } from "../../shared/postgres/retry.ts";
import type { Ingestion, Progress } from "./ingestion.ts";
import { type IngestionRow, ingestionOf } from "./rows.ts";
import type {
  Beat,
  ClaimedJob,
  IngestionFilter,
  IngestionKey,
  JobStore,
  Lease,
  NewJob,
  Outcome,
  RepositoryKey,
} from "./store.ts";

interface ClaimedRow extends IngestionRow {
  readonly tenant: string;
  readonly after_death: boolean;
  readonly lost_holders: number;
  readonly deaths: Record<string, number>;
}

const ingestionColumns = `id, repo_id, path, settings, status, stage,
  files_total::float8, files_read::float8, files_done::float8, files_failed::float8,
  chunks_split::float8, chunks_embedded::float8, chunks_stored::float8, chunks_unchanged::float8,
  chunks_deleted::float8, files_skipped, skipped_examples, errors, message, created_at,
  started_at, ended_at`;

const claimedColumns = ingestionColumns.replace("id,", "r.id,");

/** Parameters 4 to 16. */
const progressAssignments = `stage = $4, files_total = $5, files_done = $6, files_failed = $7,
  chunks_stored = $8, chunks_unchanged = $9, chunks_deleted = $10, files_skipped = $11,
  errors = $12, files_read = $13, chunks_split = $14, chunks_embedded = $15,
  skipped_examples = $16`;

const running = "status in ('pending', 'in_progress')";
const held = `tenant = $1 and id = $2 and lease_token = $3 and ${running}`;
const lapsed = "(lease_until is null or lease_until < clock_timestamp())";

function progressValues(progress: Progress): unknown[] {
  return [
    progress.stage,
    progress.filesTotal,
    progress.filesDone,
    progress.filesFailed,
    progress.chunksStored,
    progress.chunksUnchanged,
    progress.chunksDeleted,
    JSON.stringify(progress.filesSkipped),
    JSON.stringify(progress.errors),
    progress.filesRead,
    progress.chunksSplit,
    progress.chunksEmbedded,
    JSON.stringify(progress.skippedExamples),
  ];
}

/** The table rag_ingestions. */
export class PostgresJobStore implements JobStore {
  readonly #postgres: Postgres;
  /** Every statement here may be repeated. */
  readonly #query: RetriedQuery;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
    this.#query = retriedQuery(postgres);
  }

  async create(job: NewJob, signal?: AbortSignal): Promise<string | undefined> {
    const { tenant, repoId, id, kind, path, settings, lease } = job;
    await this.#settleRepository(job, signal);
    for (;;) {
      const inserted = await this.#query(
        `insert into rag_ingestions
           (tenant, id, repo_id, kind, path, settings, status, lease_token, lease_until, started_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp() + $9 * interval '1 ms',
           case when $8::text is null then null else now() end)
         on conflict (tenant, repo_id)
           where status in ('pending', 'in_progress') and kind <> 'documents' do nothing
         returning id`,
        [
          tenant,
          id,
          repoId,
          kind,
          path,
          JSON.stringify(settings),
          lease === undefined ? "pending" : "in_progress",
          lease?.token ?? null,
          lease?.ms ?? null,
        ],
        signal,
      );
      const inTheWay = await this.#inTheWay(job, signal);
      if (inTheWay !== undefined) {
        await this.#query(
          "delete from rag_ingestions where tenant = $1 and id = $2",
          [tenant, id],
          signal,
        );
        return inTheWay;
      }
      // One that ended meanwhile makes room.
      if (inserted.length > 0 || (await this.get({ tenant, id }, signal)) !== undefined) return;
    }
  }

  /**
   * Looked for after the insert: of two that begin at the same time, at least one sees the other.
   */
  async #inTheWay(
    { tenant, repoId, id, kind }: NewJob,
    signal?: AbortSignal,
  ): Promise<string | undefined> {
    const [row] = await this.#query<{ id: string }>(
      `select id from rag_ingestions
       where tenant = $1 and repo_id = $2 and id <> $3 and ${running} and case $4
         when 'folder' then kind <> 'documents'
         when 'documents' then kind = 'deletion'
         else true
       end
       order by id limit 1`,
      [tenant, repoId, id, kind],
      signal,
    );
    return row?.id;
  }

  async #settleRepository({ tenant, repoId }: RepositoryKey, signal?: AbortSignal): Promise<void> {
    await this.#query(
      `update rag_ingestions
       set status = 'failed', stage = 'done', ended_at = now(), message = 'its process is gone'
       where tenant = $1 and repo_id = $2 and kind <> 'folder' and ${running} and ${lapsed}`,
      [tenant, repoId],
      signal,
    );
  }

  async claim({ token, ms }: Lease, signal?: AbortSignal): Promise<ClaimedJob | undefined> {
    const [row] = await this.#query<ClaimedRow>(
      `with next as (
         select tenant, id, lease_token is not null as after_death from rag_ingestions
         where ${running} and kind = 'folder' and not cancel_requested and ${lapsed}
         order by id limit 1
         for update skip locked
       )
       update rag_ingestions r set
         status = 'in_progress', started_at = coalesce(started_at, now()),
         lease_token = $1, lease_until = clock_timestamp() + $2 * interval '1 ms',
         lost_holders = case when next.after_death then r.lost_holders + 1 else r.lost_holders end,
         deaths = case when r.suspect is null or not next.after_death then r.deaths else
           jsonb_set(r.deaths, array[r.suspect],
             to_jsonb(coalesce((r.deaths ->> r.suspect)::integer, 0) + 1)) end,
         suspect = null
       from next where r.tenant = next.tenant and r.id = next.id
       returning r.tenant, after_death, lost_holders, deaths, ${claimedColumns}`,
      [token, ms],
      signal,
    );
    if (row === undefined) return undefined;
    return {
      tenant: row.tenant,
      ingestion: ingestionOf(row),
      afterDeath: row.after_death,
      lostHolders: row.lost_holders,
      deaths: new Map(Object.entries(row.deaths)),
    };
  }

  async beat(
    { tenant, id }: IngestionKey,
    { token, ms }: Lease,
    { progress, advanced }: { progress: Progress; advanced: boolean },
    signal?: AbortSignal,
  ): Promise<Beat> {
    return this.#beat(
      `update rag_ingestions set lease_until = clock_timestamp() + $17 * interval '1 ms',
         lost_holders = case when $18 then 0 else lost_holders end, ${progressAssignments}
       where ${held} returning cancel_requested`,
      [tenant, id, token, ...progressValues(progress), ms, advanced],
      signal,
    );
  }

  async suspect(
    { tenant, id }: IngestionKey,
    { token }: Lease,
    path: string | undefined,
    signal?: AbortSignal,
  ): Promise<Beat> {
    return this.#beat(
      `update rag_ingestions set suspect = $4 where ${held} returning cancel_requested`,
      [tenant, id, token, path ?? null],
      signal,
    );
  }

  async release(
    { tenant, id }: IngestionKey,
    { token }: Lease,
    progress: Progress,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#query(
      `update rag_ingestions set status = 'pending', lease_token = null, lease_until = null,
         suspect = null, ${progressAssignments}
       where ${held}`,
      [tenant, id, token, ...progressValues(progress)],
      signal,
    );
  }

  async end(
    { tenant, id }: IngestionKey,
    { token }: Lease,
    { status, progress, message }: Outcome,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#query(
      `update rag_ingestions set status = $17, message = $18, ended_at = now(),
         suspect = null, ${progressAssignments}
       where ${held}`,
      [tenant, id, token, ...progressValues(progress), status, message],
      signal,
    );
  }

  async requestCancel({ tenant, id }: IngestionKey, signal?: AbortSignal): Promise<void> {
    await this.#query(
      `update rag_ingestions set cancel_requested = true,
         status = case when ${lapsed} then 'cancelled' else status end,
         stage = case when ${lapsed} then 'done' else stage end,
         message = case when ${lapsed} then 'cancelled' else message end,
         ended_at = case when ${lapsed} then now() end
       where tenant = $1 and id = $2 and ${running}`,
      [tenant, id],
      signal,
    );
  }

  async settle(message: string, signal?: AbortSignal): Promise<readonly string[]> {
    const rows = await this.#query<{ id: string }>(
      `update rag_ingestions set stage = 'done', ended_at = now(),
         status = case when cancel_requested then 'cancelled' else 'failed' end,
         message = case when cancel_requested then 'cancelled' else $1 end
       where ${running} and ${lapsed} and (kind <> 'folder' or cancel_requested)
       returning id`,
      [message],
      signal,
    );
    return rows.map(({ id }) => id);
  }

  async get({ tenant, id }: IngestionKey, signal?: AbortSignal): Promise<Ingestion | undefined> {
    const [row] = await this.#query<IngestionRow>(
      `select ${ingestionColumns} from rag_ingestions where tenant = $1 and id = $2`,
      [tenant, id],
      signal,
    );
    return row === undefined ? undefined : ingestionOf(row);
  }

  async list(
    tenant: string,
    { repoId, status, limit, before }: IngestionFilter,
    signal?: AbortSignal,
  ): Promise<readonly Ingestion[]> {
    const rows = await this.#query<IngestionRow>(
      `select ${ingestionColumns} from rag_ingestions
       where tenant = $1 and ($2 = '' or repo_id = $2) and kind <> 'deletion'
         and ($3::text is null or status = $3) and ($4::text is null or id < $4)
       order by id desc limit $5`,
      [tenant, repoId, status ?? null, before ?? null, limit],
      signal,
    );
    return rows.map(ingestionOf);
  }

  async lastPath(
    { tenant, repoId }: RepositoryKey,
    signal?: AbortSignal,
  ): Promise<string | undefined> {
    const [row] = await this.#query<{ path: string }>(
      `select path from rag_ingestions where tenant = $1 and repo_id = $2 and path <> ''
       order by id desc limit 1`,
      [tenant, repoId],
      signal,
    );
    return row?.path;
  }

  async deleteRepository({ tenant, repoId }: RepositoryKey, signal?: AbortSignal): Promise<number> {
    const erase = async (tx: Queryable) => {
      await tx.query("delete from rag_files where tenant = $1 and repo_id = $2", [tenant, repoId]);
      const { rows } = await tx.query<{ kind: string }>(
        "delete from rag_ingestions where tenant = $1 and repo_id = $2 returning kind",
        [tenant, repoId],
      );
      return rows.filter(({ kind }) => kind !== "deletion").length;
    };
    return withRetry(() => this.#postgres.transaction(erase, { signal }), { signal });
  }

  async #beat(
    text: string,
    params: readonly unknown[],
    signal: AbortSignal | undefined,
  ): Promise<Beat> {
    const [row] = await this.#query<{ cancel_requested: boolean }>(text, params, signal);
    if (row === undefined) return "lost";
    return row.cancel_requested ? "cancel_requested" : "ours";
  }
}
