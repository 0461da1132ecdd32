-- The vector store: collections, and the documents of the collection `memories`.

create extension if not exists vector;

create table collections (
  -- '' for what belongs to the platform, as every collection does so far: all tenants have the
  -- same ones, each with documents of its own.
  tenant text collate "C" not null default '',
  name text collate "C" not null,
  dimension integer not null check (dimension between 1 and 4000),
  distance text not null check (distance in ('cosine', 'euclidean', 'dot_product')),
  -- null until the first vector claims the collection for its model.
  embedding_model text,
  -- The approximate index; null where there is none and every search is exact.
  index_kind text check (index_kind in ('hnsw', 'ivfflat')),
  index_m integer,
  index_ef_construction integer,
  index_lists integer,
  created_at timestamptz not null default now(),
  primary key (tenant, name)
);

insert into collections (name, dimension, distance) values ('memories', 768, 'cosine');

-- Names and ids compare by code point, so that order and ranges are the same on every server.
create table memories (
  tenant text collate "C" not null,
  id text collate "C" not null,
  content text not null,
  embedding vector(768),
  memory_type text collate "C" not null
    check (memory_type in ('agent', 'rag', 'workflow', 'insight')),
  source_system text collate "C" not null,
  agent_id text collate "C",
  workflow_id text collate "C",
  repo_id text collate "C",
  metadata jsonb not null default '{}',
  content_hash text collate "C" not null,
  -- Within which documents equal content counts as the same.
  dedup_scope text collate "C" not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  expires_at timestamptz,
  -- Both kept by the trigger below.
  lexemes tsvector not null,
  lexeme_count integer not null,
  primary key (tenant, id)
);

-- Exact search reads every vector of a scope. Beside its row a vector is read at once; out of line
-- each one costs a look-up of its own, and the search takes 2.5 times as long.
alter table memories alter column embedding set storage plain;

-- A row that is longer than the target gives up its longest values until it fits, and with a vector
-- inside it no row would fit the default of 2 kB: it would give up all, ids too. With this one two
-- rows share a page, and what moves out is long contents and lexemes. The short columns stay.
alter table memories set (toast_tuple_target = 4080);
alter table memories
  alter column tenant set storage main,
  alter column id set storage main,
  alter column memory_type set storage main,
  alter column source_system set storage main,
  alter column agent_id set storage main,
  alter column workflow_id set storage main,
  alter column repo_id set storage main,
  alter column content_hash set storage main,
  alter column dedup_scope set storage main;

-- A trigger and not generated columns, since a generated column cannot read another one, and
-- making the lexemes a second time to count them costs a third of the write speed.
--
-- Full text covers the first 65,536 characters: a tsvector holds at most 1 MiB, and no text of
-- this length can reach that; the rest of a longer content is stored but not found by its words.
-- lexeme_count is the document's length in BM25: every occurrence of every lexeme.
create function memories_index_text() returns trigger
language plpgsql as $$
begin
  new.lexemes := to_tsvector('english', left(new.content, 65536));
  new.lexeme_count :=
    (select coalesce(sum(cardinality(positions)), 0) from unnest(new.lexemes));
  return new;
end
$$;

create trigger memories_index_text
  before insert or update of content on memories
  for each row execute function memories_index_text();

-- De-duplication that no race can pass. The hash comes first, so that it serves look-ups by hash.
create unique index memories_content
  on memories (tenant, content_hash, memory_type, dedup_scope);

create index memories_type on memories (tenant, memory_type, created_at desc);
create index memories_agent on memories (tenant, agent_id, created_at desc)
  where agent_id is not null;
create index memories_workflow on memories (tenant, workflow_id, created_at desc)
  where workflow_id is not null;
create index memories_repo on memories (tenant, repo_id, created_at desc)
  where repo_id is not null;
create index memories_source on memories (tenant, source_system, memory_type);
create index memories_recent on memories (tenant, created_at desc);
create index memories_lexemes on memories using gin (lexemes);
