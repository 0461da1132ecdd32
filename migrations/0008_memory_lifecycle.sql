-- Changes of memories: what they were before, and the work that a change leaves when it is cut off.

create table memory_versions (
  tenant text collate "C" not null,
  memory_id text collate "C" not null,
  version integer not null check (version >= 1),
  -- The change that replaced it, so that whoever made it learns that somebody else ended it.
  update_id text collate "C" not null,
  -- The memory as it was.
  memory jsonb not null,
  replaced_at timestamptz not null default now(),
  primary key (tenant, memory_id, version)
);

-- One more kind of work:
--   update     a change of a memory that may have been cut off; one a memory at a time
alter table memory_outbox drop constraint memory_outbox_kind_check;
alter table memory_outbox add constraint memory_outbox_kind_check
  check (kind in ('operation', 'workflow', 'embedding', 'insight', 'deletion', 'update'));

-- Who stored what is deleted: its payload hash goes, and a repetition is told that it is gone.
create index request_ids_by_subject on request_ids (tenant, subject);
