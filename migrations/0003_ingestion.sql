-- Ingestion: the runs, and what is known of every file.

create table rag_ingestions (
  tenant text collate "C" not null,
  id text collate "C" not null,
  repo_id text collate "C" not null,
  -- The folder that was read; empty where something else than a folder is worked on.
  path text not null,
  -- Patterns and chunk sizes, so that the run could be repeated.
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
  -- Who runs it, and when it was last heard of: a run whose process died must not block the next.
  owner_host text not null,
  owner_pid integer not null,
  owner_life text not null,
  heartbeat_at timestamptz not null default now(),
  cancel_requested boolean not null default false,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz,
  primary key (tenant, id),
  check ((ended_at is not null) = (status in ('completed', 'failed', 'cancelled')))
);

-- One run of a repository at a time, whichever process is asked.
create unique index rag_ingestions_running on rag_ingestions (tenant, repo_id)
  where status in ('pending', 'in_progress');
create index rag_ingestions_repo on rag_ingestions (tenant, repo_id, id desc);
create index rag_ingestions_status on rag_ingestions (tenant, status, id desc);

create table rag_files (
  tenant text collate "C" not null,
  repo_id text collate "C" not null,
  path text collate "C" not null,
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
  -- Ids under which chunks may be stored by a run that never came to its end.
  pending_ids text[] not null default '{}',
  ingestion_id text collate "C",
  updated_at timestamptz not null default now(),
  primary key (tenant, repo_id, path)
);
