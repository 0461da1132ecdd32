import type { Postgres } from "../../shared/postgres/postgres.ts";
import type { Queryable } from "../../shared/postgres/queryable.ts";
import { withRetry } from "../../shared/postgres/retry.ts";
import type { Ingestion, IngestionStatus, Progress } from "./ingestion.ts";
import { type FileRow, filesAsJson, type IngestionRow, ingestionOf, knownFileOf } from "./rows.ts";
import type {
  Beat,
  FileChunks,
  IngestedFile,
  IngestionFilter,
  IngestionKey,
  IngestionStore,
  KnownFile,
  NewIngestion,
  Owner,
  RepositoryKey,
  RunningIngestion,
} from "./store.ts";

interface RunningRow {
  readonly tenant: string;
  readonly id: string;
  readonly owner_host: string;
  readonly owner_pid: number;
  readonly owner_life: string;
  readonly silent_ms: number;
}

const runningColumns = `tenant, id, owner_host, owner_pid, owner_life,
  greatest(0, extract(epoch from clock_timestamp() - heartbeat_at) * 1000)::float8 as silent_ms`;

const ingestionColumns = `id, repo_id, path, settings, status, stage,
  files_total::float8, files_done::float8, files_failed::float8, chunks_stored::float8,
  chunks_unchanged::float8, chunks_deleted::float8, files_skipped, errors, message,
  created_at, started_at, ended_at`;

const progressAssignments = `stage = $4, files_total = $5, files_done = $6, files_failed = $7,
  chunks_stored = $8, chunks_unchanged = $9, chunks_deleted = $10, files_skipped = $11,
  errors = $12`;

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
  ];
}

/** The tables rag_ingestions and rag_files. */
export class PostgresIngestionStore implements IngestionStore {
  readonly #postgres: Postgres;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
  }

  async create(
    { tenant, repoId, id, path, settings, owner }: NewIngestion,
    signal?: AbortSignal,
  ): Promise<RunningIngestion | undefined> {
    for (;;) {
      const inserted = await this.#query(
        `insert into rag_ingestions
           (tenant, id, repo_id, path, settings, status, owner_host, owner_pid, owner_life)
         values ($1, $2, $3, $4, $5, 'pending', $6, $7, $8)
         on conflict (tenant, repo_id) where status in ('pending', 'in_progress') do nothing
         returning id`,
        [tenant, id, repoId, path, JSON.stringify(settings), owner.host, owner.pid, owner.life],
        signal,
      );
      if (inserted.length > 0) return undefined;
      const [running] = await this.#query<RunningRow>(
        `select ${runningColumns} from rag_ingestions
         where tenant = $1 and repo_id = $2 and status in ('pending', 'in_progress')`,
        [tenant, repoId],
        signal,
      );
      // A repeated insert meets its own row; one that ended meanwhile makes room.
      if (running !== undefined) return running.id === id ? undefined : runningOf(running);
    }
  }

  async start({ tenant, id }: IngestionKey, owner: Owner, signal?: AbortSignal): Promise<Beat> {
    const rows = await this.#query<{ cancel_requested: boolean }>(
      `update rag_ingestions
       set status = 'in_progress', started_at = coalesce(started_at, now()), heartbeat_at = now()
       where tenant = $1 and id = $2 and owner_life = $3 and status in ('pending', 'in_progress')
       returning cancel_requested`,
      [tenant, id, owner.life],
      signal,
    );
    return beatOf(rows);
  }

  async beat(
    { tenant, id }: IngestionKey,
    owner: Owner,
    progress: Progress,
    signal?: AbortSignal,
  ): Promise<Beat> {
    const rows = await this.#query<{ cancel_requested: boolean }>(
      `update rag_ingestions set heartbeat_at = now(), ${progressAssignments}
       where tenant = $1 and id = $2 and owner_life = $3 and status in ('pending', 'in_progress')
       returning cancel_requested`,
      [tenant, id, owner.life, ...progressValues(progress)],
      signal,
    );
    return beatOf(rows);
  }

  async end(
    { tenant, id }: IngestionKey,
    owner: Owner,
    outcome: { status: IngestionStatus; progress: Progress; message: string },
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#query(
      `update rag_ingestions
       set ${progressAssignments}, status = $13, message = $14, ended_at = now()
       where tenant = $1 and id = $2 and owner_life = $3 and status in ('pending', 'in_progress')`,
      [
        tenant,
        id,
        owner.life,
        ...progressValues(outcome.progress),
        outcome.status,
        outcome.message,
      ],
      signal,
    );
  }

  async running(signal?: AbortSignal): Promise<readonly RunningIngestion[]> {
    const rows = await this.#query<RunningRow>(
      `select ${runningColumns} from rag_ingestions where status in ('pending', 'in_progress')`,
      [],
      signal,
    );
    return rows.map(runningOf);
  }

  async interrupt(
    { tenant, id, owner }: RunningIngestion,
    message: string,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const rows = await this.#query(
      `update rag_ingestions
       set status = 'failed', stage = 'done', message = $4, ended_at = now()
       where tenant = $1 and id = $2 and owner_life = $3 and status in ('pending', 'in_progress')
       returning id`,
      [tenant, id, owner.life, message],
      signal,
    );
    return rows.length > 0;
  }

  async requestCancel({ tenant, id }: IngestionKey, signal?: AbortSignal): Promise<void> {
    await this.#query(
      "update rag_ingestions set cancel_requested = true where tenant = $1 and id = $2",
      [tenant, id],
      signal,
    );
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
       where tenant = $1 and ($2 = '' or repo_id = $2)
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

  async knownFiles(
    { tenant, repoId }: RepositoryKey,
    signal?: AbortSignal,
  ): Promise<Map<string, KnownFile>> {
    const rows = await this.#query<FileRow>(
      `select path, file_hash, size_bytes, mtime_ns, ctime_ns, recipe, skipped,
              cardinality(chunk_ids) as chunk_count
       from rag_files where tenant = $1 and repo_id = $2 order by path`,
      [tenant, repoId],
      signal,
    );
    return new Map(rows.map((row) => [row.path, knownFileOf(row)]));
  }

  async chunksOf(
    { tenant, repoId }: RepositoryKey,
    paths: readonly string[],
    signal?: AbortSignal,
  ): Promise<Map<string, FileChunks>> {
    const rows = await this.#query<{
      path: string;
      chunk_ids: string[];
      start_lines: number[];
      end_lines: number[];
      pending_ids: string[];
    }>(
      `select path, chunk_ids, start_lines, end_lines, pending_ids
       from rag_files where tenant = $1 and repo_id = $2 and path = any($3)`,
      [tenant, repoId, paths],
      signal,
    );
    return new Map(
      rows.map((row) => [
        row.path,
        {
          chunks: row.chunk_ids.map((id, index) => ({
            id,
            startLine: row.start_lines[index] ?? 0,
            endLine: row.end_lines[index] ?? 0,
          })),
          pendingIds: row.pending_ids,
        },
      ]),
    );
  }

  async announce(
    { tenant, repoId }: RepositoryKey,
    files: readonly { readonly path: string; readonly ids: readonly string[] }[],
    signal?: AbortSignal,
  ): Promise<void> {
    // What an earlier run has announced and never completed stays announced.
    await this.#query(
      `insert into rag_files (tenant, repo_id, path, pending_ids)
       select $1, $2, f.path, f.ids from jsonb_to_recordset($3) as f(path text, ids text[])
       on conflict (tenant, repo_id, path) do update set pending_ids = array(
         select unnest(rag_files.pending_ids) union select unnest(excluded.pending_ids))`,
      [tenant, repoId, JSON.stringify(files)],
      signal,
    );
  }

  async complete(
    { tenant, repoId }: RepositoryKey,
    ingestionId: string,
    files: readonly IngestedFile[],
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#query(
      `insert into rag_files (tenant, repo_id, ingestion_id, path, file_hash, size_bytes, mtime_ns,
         ctime_ns, recipe, skipped, chunk_ids, start_lines, end_lines)
       select $1, $2, $3, f.* from jsonb_to_recordset($4) as f(path text, file_hash text,
         size_bytes bigint, mtime_ns bigint, ctime_ns bigint, recipe text, skipped text,
         chunk_ids text[], start_lines integer[], end_lines integer[])
       on conflict (tenant, repo_id, path) do update set
         ingestion_id = excluded.ingestion_id, file_hash = excluded.file_hash,
         size_bytes = excluded.size_bytes, mtime_ns = excluded.mtime_ns,
         ctime_ns = excluded.ctime_ns, recipe = excluded.recipe, skipped = excluded.skipped,
         chunk_ids = excluded.chunk_ids, start_lines = excluded.start_lines,
         end_lines = excluded.end_lines, pending_ids = '{}', updated_at = now()`,
      [tenant, repoId, ingestionId, filesAsJson(files)],
      signal,
    );
  }

  async restamp(
    { tenant, repoId }: RepositoryKey,
    files: readonly Pick<KnownFile, "path" | "stamp">[],
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#query(
      `update rag_files set size_bytes = f.size_bytes, mtime_ns = f.mtime_ns, ctime_ns = f.ctime_ns
       from jsonb_to_recordset($3)
         as f(path text, size_bytes bigint, mtime_ns bigint, ctime_ns bigint)
       where tenant = $1 and repo_id = $2 and rag_files.path = f.path`,
      [tenant, repoId, filesAsJson(files)],
      signal,
    );
  }

  async forget(
    { tenant, repoId }: RepositoryKey,
    paths: readonly string[],
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#query(
      "delete from rag_files where tenant = $1 and repo_id = $2 and path = any($3)",
      [tenant, repoId, paths],
      signal,
    );
  }

  async deleteRepository({ tenant, repoId }: RepositoryKey, signal?: AbortSignal): Promise<number> {
    const erase = async (tx: Queryable) => {
      await tx.query("delete from rag_files where tenant = $1 and repo_id = $2", [tenant, repoId]);
      const { rowCount } = await tx.query(
        "delete from rag_ingestions where tenant = $1 and repo_id = $2",
        [tenant, repoId],
      );
      return rowCount;
    };
    return withRetry(() => this.#postgres.transaction(erase, { signal }), { signal });
  }

  /** Every statement here may be repeated. */
  async #query<T = Record<string, unknown>>(
    text: string,
    params: readonly unknown[],
    signal: AbortSignal | undefined,
  ): Promise<T[]> {
    const run = () => this.#postgres.query<T>(text, params, signal);
    return (await withRetry(run, { signal })).rows;
  }
}

function runningOf(row: RunningRow): RunningIngestion {
  return {
    tenant: row.tenant,
    id: row.id,
    owner: { host: row.owner_host, pid: row.owner_pid, life: row.owner_life },
    silentMs: row.silent_ms,
  };
}

function beatOf(rows: readonly { cancel_requested: boolean }[]): Beat {
  const [row] = rows;
  if (row === undefined) return "lost";
  return row.cancel_requested ? "cancel_requested" : "ours";
}
