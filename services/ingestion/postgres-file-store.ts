import type { Postgres } from "../../shared/postgres/postgres.ts";
import { type RetriedQuery, retriedQuery } from "../../shared/postgres/retry.ts";
import { type FileRow, filesAsJson, knownFileOf, type ListedRow, listedFileOf } from "./rows.ts";
import type {
  FileChunks,
  FileStore,
  IngestedFile,
  KnownFile,
  ListedFile,
  RepositoryKey,
  Writer,
} from "./store.ts";

interface ChunksRow {
  readonly path: string;
  readonly recipe: string;
  readonly chunk_ids: string[];
  readonly start_lines: number[];
  readonly end_lines: number[];
  readonly pending_ids: string[];
}

/**
 * Commits without waiting for the disk. Whatever is committed later takes it along: what is announced
 * is on the disk before a chunk is, and what is done before the end of its ingestion. Where the
 * server dies before, files are done again, which finds the same chunks.
 */
const notWaiting = "(select set_config('synchronous_commit', 'off', true)) is not null";

const chunkColumns = "path, recipe, chunk_ids, start_lines, end_lines, pending_ids";

/** The table rag_files. */
export class PostgresFileStore implements FileStore {
  /** Every statement here may be repeated. */
  readonly #query: RetriedQuery;

  constructor(postgres: Postgres) {
    this.#query = retriedQuery(postgres);
  }

  async knownFiles(
    { tenant, repoId }: RepositoryKey,
    paths: readonly string[],
    signal?: AbortSignal,
  ): Promise<Map<string, KnownFile>> {
    const rows = await this.#query<FileRow>(
      `select path, file_hash, size_bytes, mtime_ns, ctime_ns, inode, recipe, skipped,
              cardinality(chunk_ids) as chunk_count, ingestion_id, stored_count
       from rag_files where tenant = $1 and repo_id = $2 and path = any($3)`,
      [tenant, repoId, paths],
      signal,
    );
    return new Map(rows.map((row) => [row.path, knownFileOf(row)]));
  }

  async chunkTotal({ tenant, repoId }: RepositoryKey, signal?: AbortSignal): Promise<number> {
    const [row] = await this.#query<{ total: number }>(
      `select coalesce(sum(cardinality(chunk_ids)), 0)::float8 as total
       from rag_files where tenant = $1 and repo_id = $2`,
      [tenant, repoId],
      signal,
    );
    return row?.total ?? 0;
  }

  async listFiles(
    { tenant, repoId }: RepositoryKey,
    { recipe, ingestionId }: { readonly recipe: string; readonly ingestionId: string },
    after: string,
    limit: number,
    signal?: AbortSignal,
  ): Promise<readonly ListedFile[]> {
    // Without one of its parts the stamp is null.
    const rows = await this.#query<ListedRow>(
      `select path,
              size_bytes || ' ' || mtime_ns || ' ' || ctime_ns || ' ' || inode as stamp,
              recipe = $5 as is_current, pushed, skipped, cardinality(chunk_ids) as chunk_count,
              case when ingestion_id = $6 then stored_count end as own_count
       from rag_files
       where tenant = $1 and repo_id = $2 and path > $3 order by path limit $4`,
      [tenant, repoId, after, limit, recipe, ingestionId],
      signal,
    );
    return rows.map(listedFileOf);
  }

  async chunksOf(
    { tenant, repoId }: RepositoryKey,
    paths: readonly string[],
    signal?: AbortSignal,
  ): Promise<Map<string, FileChunks>> {
    const rows = await this.#query<ChunksRow>(
      `select ${chunkColumns} from rag_files where tenant = $1 and repo_id = $2 and path = any($3)`,
      [tenant, repoId, paths],
      signal,
    );
    return new Map(rows.map((row) => [row.path, fileChunksOf(row)]));
  }

  async take(
    { tenant, repoId }: RepositoryKey,
    writer: Writer,
    files: readonly { readonly path: string; readonly ids: readonly string[] }[],
    signal?: AbortSignal,
  ): Promise<Map<string, FileChunks>> {
    // In the order of paths, so that two writers do not wait for each other in a circle. What an
    // earlier write has announced and never completed stays announced.
    const rows = await this.#query<ChunksRow>(
      `insert into rag_files (tenant, repo_id, path, pushed, pending_ids, writer)
       select $1, $2, f.path, $4, f.ids, $5
       from jsonb_to_recordset($3) as f(path text, ids text[])
       where ${notWaiting} order by f.path
       on conflict (tenant, repo_id, path) do update set
         writer = excluded.writer,
         pending_ids = array(
           select unnest(rag_files.pending_ids) union select unnest(excluded.pending_ids))
       where rag_files.writer is null or split_part(rag_files.writer, '/', 1) = $6
         or not exists (
           select from rag_ingestions i
           where i.tenant = $1 and i.id = split_part(rag_files.writer, '/', 1)
             and i.lease_token = split_part(rag_files.writer, '/', 2)
             and i.lease_until > clock_timestamp() and i.status = 'in_progress')
       returning ${chunkColumns}`,
      [tenant, repoId, JSON.stringify(files), writer.pushed, nameOf(writer), writer.ingestionId],
      signal,
    );
    return new Map(rows.map((row) => [row.path, fileChunksOf(row)]));
  }

  async leave(
    { tenant, repoId }: RepositoryKey,
    writer: Writer,
    paths: readonly string[],
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#query(
      `update rag_files set writer = null
       where tenant = $1 and repo_id = $2 and path = any($3) and writer = $4`,
      [tenant, repoId, paths, nameOf(writer)],
      signal,
    );
  }

  async complete(
    { tenant, repoId }: RepositoryKey,
    writer: Writer,
    files: readonly IngestedFile[],
    signal?: AbortSignal,
  ): Promise<number> {
    const rows = await this.#query(
      `update rag_files set
         pushed = $6, ingestion_id = $5, file_hash = f.file_hash, size_bytes = f.size_bytes,
         mtime_ns = f.mtime_ns, ctime_ns = f.ctime_ns, inode = f.inode, recipe = f.recipe,
         skipped = f.skipped,
         chunk_ids = f.chunk_ids, start_lines = f.start_lines, end_lines = f.end_lines,
         stored_count = f.stored_count, pending_ids = '{}', writer = null, updated_at = now()
       from jsonb_to_recordset($4) as f(path text, file_hash text, size_bytes bigint,
         mtime_ns bigint, ctime_ns bigint, inode bigint, recipe text, skipped text,
         chunk_ids text[], start_lines integer[], end_lines integer[], stored_count integer)
       where tenant = $1 and repo_id = $2 and rag_files.path = f.path and ${notWaiting}
         -- A repeated statement meets its own work.
         and (writer = $3 or (writer is null and ingestion_id = $5))
       returning 1`,
      [tenant, repoId, nameOf(writer), filesAsJson(files), writer.ingestionId, writer.pushed],
      signal,
    );
    return rows.length;
  }

  async restamp(
    { tenant, repoId }: RepositoryKey,
    files: readonly Pick<KnownFile, "path" | "stamp">[],
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#query(
      `update rag_files set size_bytes = f.size_bytes, mtime_ns = f.mtime_ns,
         ctime_ns = f.ctime_ns, inode = f.inode
       from jsonb_to_recordset($3)
         as f(path text, size_bytes bigint, mtime_ns bigint, ctime_ns bigint, inode bigint)
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
      "delete from rag_files where tenant = $1 and repo_id = $2 and path = any($3) and not pushed",
      [tenant, repoId, paths],
      signal,
    );
  }
}

/** As it stands in the column `writer`; ids and tokens hold no slash. */
function nameOf({ ingestionId, token }: Writer): string {
  return `${ingestionId}/${token}`;
}

function fileChunksOf(row: ChunksRow): FileChunks {
  return {
    recipe: row.recipe,
    chunks: row.chunk_ids.map((id, index) => ({
      id,
      startLine: row.start_lines[index] ?? 0,
      endLine: row.end_lines[index] ?? 0,
    })),
    pendingIds: row.pending_ids,
  };
}
