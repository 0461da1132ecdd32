-- Ingestion: migrations of Session-Buddy files, each with how far it came.

create table session_buddy_migrations (
  tenant text collate "C" not null,
  id text collate "C" not null,
  -- Its real path on the machine of the bridge.
  file text not null,
  -- In which its times were read.
  source_time_zone text not null,
  status text collate "C" not null default 'in_progress'
    check (status in ('in_progress', 'completed', 'failed', 'cancelled')),
  -- The checkpoint: so many records from the beginning of the file are done, and the digest of them
  -- tells whether it is still the same beginning. Moves only after what it passes is committed.
  records bigint not null default 0,
  digest text not null default '',
  -- What became of those records: counts, the first failures, failures by reason.
  figures jsonb not null,
  message text not null default '',
  -- Who runs it, and when it was last heard of: one whose process died is taken up by the next call.
  owner_host text not null,
  owner_pid integer not null,
  owner_life text not null,
  heartbeat_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  primary key (tenant, id),
  check ((ended_at is null) = (status = 'in_progress'))
);

-- One migration of a file at a time, whichever process is asked; each tenant has its own.
create unique index session_buddy_migrations_running on session_buddy_migrations (tenant, file)
  where status = 'in_progress';
create index session_buddy_migrations_file on session_buddy_migrations (tenant, file, id desc);
