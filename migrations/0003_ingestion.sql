-- Ingestion: the jobs, and what is known of every file.

create table rag_ingestions (
  tenant text collate "C" not null,
  id text collate "C" not null,
  repo_id text collate "C" not null,
  -- A folder waits in this table, its queue, until a process has time for it. A stream of documents
  -- and a deletion belong to the process that was asked, and end with it.
  kind text collate "C" not null default 'folder'
    check (kind in ('folder', 'documents', 'deletion')),
  -- The folder that is read; empty where something else than a folder is worked on.
  path text not null,
  -- Patterns and chunk sizes, so that any process can go on with it.
  settings jsonb not null default '{}',
  status text collate "C" not null
    check (status in ('pending', 'in_progress', 'completed', 'failed', 'cancelled')),
  stage text collate "C" not null default 'scanning'
    check (stage in ('scanning', 'ingesting', 'cleaning', 'done')),
  files_total bigint not null default 0,
  files_done bigint not null default 0,
  files_failed bigint not null default 0,
  chunks_stored bigint not null default 0,
  chunks_unchanged bigint not null default 0,
  chunks_deleted bigint not null default 0,
  -- Counts by reason.
  files_skipped jsonb not null default '{}',
  -- The first 100 files that failed, and why.
  errors jsonb not null default '[]',
  message text not null default '',
  -- Who works on it: a new token for each hold. Null: nobody, and nobody left it behind.
  lease_token text,
  -- Until when it belongs to the holder; one that lives moves this on. The clock is the database's.
  lease_until timestamptz,
  cancel_requested boolean not null default false,
  -- The file that is worked on alone, since a process died over one like it.
  suspect text,
  -- How many processes died over which file.
  deaths jsonb not null default '{}',
  -- Holders in a row that died before a single file was done.
  lost_holders integer not null default 0,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz,
  primary key (tenant, id),
  check ((ended_at is not null) = (status in ('completed', 'failed', 'cancelled')))
);

-- One ingestion of a folder, or one deletion, of a repository at a time, whichever process is asked.
create unique index rag_ingestions_running on rag_ingestions (tenant, repo_id)
  where status in ('pending', 'in_progress') and kind <> 'documents';
-- What has not ended, the queue of all tenants among it.
create index rag_ingestions_queue on rag_ingestions (id)
  where status in ('pending', 'in_progress');
create index rag_ingestions_repo on rag_ingestions (tenant, repo_id, id desc);
create index rag_ingestions_status on rag_ingestions (tenant, status, id desc);

create table rag_files (
  tenant text collate "C" not null,
  repo_id text collate "C" not null,
  path text collate "C" not null,
  -- Whether a client sent it; a folder's ingestion leaves it alone then.
  pushed boolean not null default false,
  -- SHA-256 of its bytes; empty until all its chunks were stored once.
  file_hash text collate "C" not null default '',
  -- The inode as it was read. Null where it cannot tell whether somebody wrote to the file since.
  size_bytes bigint,
  mtime_ns bigint,
  ctime_ns bigint,
  -- How it was chunked and embedded; another recipe means doing it again.
  recipe text collate "C" not null default '',
  -- Why it was passed over when it was read; null where it was not.
  skipped text collate "C",
  -- Its chunks, one element of each array a chunk.
  chunk_ids text[] not null default '{}',
  start_lines integer[] not null default '{}',
  end_lines integer[] not null default '{}',
  -- Ids under which chunks may be stored by a write that never came to its end.
  pending_ids text[] not null default '{}',
  -- Who writes its chunks, as `ingestion/token`; counts while that ingestion's lease does.
  writer text,
  -- The ingestion that wrote it last, and how many chunks that one stored.
  ingestion_id text collate "C",
  stored_count integer not null default 0,
  updated_at timestamptz not null default now(),
  primary key (tenant, repo_id, path)
);
