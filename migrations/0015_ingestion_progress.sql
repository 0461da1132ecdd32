-- Ingestion: how far each part of the work is, and examples of what was passed over, so that whoever
-- watches an ingestion through another process sees as much.

alter table rag_ingestions
  add column files_read bigint not null default 0,
  add column chunks_split bigint not null default 0,
  add column chunks_embedded bigint not null default 0,
  -- Paths and reasons, some of each reason.
  add column skipped_examples jsonb not null default '[]';
