-- The vector store: collections, and their documents, in a table for each collection.

create extension if not exists vector;

-- A number of its own for the table of each collection, so that a collection that is made anew under
-- an old name has another table: who still thinks of the old one meets nothing.
create sequence collection_numbers;

create table collections (
  -- '' for what belongs to the platform, as every collection does so far: all tenants have the
  -- same ones, each with documents of its own.
  tenant text collate "C" not null default '',
  name text collate "C" not null,
  dimension integer not null check (dimension between 1 and 4000),
  distance text not null check (distance in ('cosine', 'euclidean', 'dot_product')),
  -- null until the first vector claims the collection for its model.
  embedding_model text,
  -- A text search configuration of PostgreSQL; what it makes of texts stands in `lexemes`.
  text_language text not null default 'english',
  -- Where its documents are.
  table_name text collate "C" not null unique
    default 'documents_' || nextval('collection_numbers'),
  created_at timestamptz not null default now(),
  primary key (tenant, name)
);

-- A trigger and not generated columns, since a generated column cannot read another one, and
-- making the lexemes a second time to count them costs a third of the write speed.
--
-- Full text covers the first 65,536 characters: a tsvector holds at most 1 MiB, and no text of
-- this length can reach that; the rest of a longer content is stored but not found by its words.
-- Which text search configuration it is the trigger says by its argument, so that no write has to
-- look it up.
--
-- lexeme_count is the document's length in BM25: every occurrence of every lexeme. It is what the
-- positions of all lexemes take in the binary format, two bytes each: an expression that PL/pgSQL
-- evaluates by itself, where a query over unnest(lexemes) would take as long as making the lexemes.
create function memories_index_text() returns trigger
language plpgsql as $$
begin
  new.lexemes := to_tsvector(tg_argv[0]::regconfig, left(new.content, 65536));
  new.lexeme_count :=
    (octet_length(tsvectorsend(new.lexemes)) - octet_length(tsvectorsend(strip(new.lexemes)))) / 2;
  return new;
end
$$;

-- Makes the table of a collection; all of them have this one definition. A migration that changes it
-- changes the tables that are there too: the collections' `table_name`s say which.
create function create_collection_table(table_name text, dimension integer, text_language text)
returns void
language plpgsql as $$
declare
  -- An index holds at most 2,000 components of type vector, and 4,000 of half precision.
  half constant boolean := dimension > 2000;
  vector_bytes constant integer := 8 + dimension * case when half then 2 else 4 end;
  owner_column text;
begin
  -- Names and ids compare by code point, so that order and ranges are the same on every server.
  execute format(
    $ddl$
      create table %I (
        tenant text collate "C" not null,
        id text collate "C" not null,
        content text not null,
        embedding %s(%s),
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
      )
    $ddl$,
    table_name, case when half then 'halfvec' else 'vector' end, dimension
  );

  -- Exact search reads every vector of a scope. Beside its row a vector is read at once; out of
  -- line each one costs a look-up of its own, and the search takes 2.5 times as long. The largest
  -- do not fit into a page with their row; they at least are not compressed in vain.
  execute format(
    'alter table %I alter column embedding set storage %s',
    table_name, case when vector_bytes <= 6200 then 'plain' else 'external' end
  );

  -- A row that is longer than the target gives up its longest values until it fits, and with a
  -- vector of 3 kB inside it no row would fit the default of 2 kB: it would give up all, ids too.
  -- With these, two rows share a page, or a row has one, and what moves out is long contents and
  -- lexemes. The short columns stay.
  if vector_bytes between 1201 and 6200 then
    execute format(
      'alter table %I set (toast_tuple_target = %s)',
      table_name, case when vector_bytes <= 3300 then 4080 else 8160 end
    );
  end if;
  execute format(
    $ddl$
      alter table %I
        alter column tenant set storage main,
        alter column id set storage main,
        alter column memory_type set storage main,
        alter column source_system set storage main,
        alter column agent_id set storage main,
        alter column workflow_id set storage main,
        alter column repo_id set storage main,
        alter column content_hash set storage main,
        alter column dedup_scope set storage main
    $ddl$,
    table_name
  );

  execute format(
    $ddl$
      create trigger memories_index_text
        before insert or update of content on %I
        for each row execute function memories_index_text(%L)
    $ddl$,
    table_name, text_language
  );

  -- De-duplication that no race can pass. The hash comes first, so that it serves look-ups by hash.
  execute format(
    'create unique index %I on %I (tenant, content_hash, memory_type, dedup_scope)',
    table_name || '_content', table_name
  );
  execute format(
    'create index %I on %I (tenant, memory_type, created_at desc)',
    table_name || '_type', table_name
  );
  foreach owner_column in array array['agent', 'workflow', 'repo'] loop
    execute format(
      'create index %1$I on %2$I (tenant, %3$I, created_at desc) where %3$I is not null',
      table_name || '_' || owner_column, table_name, owner_column || '_id'
    );
  end loop;
  execute format(
    'create index %I on %I (tenant, source_system, memory_type)',
    table_name || '_source', table_name
  );
  execute format(
    'create index %I on %I (tenant, created_at desc)', table_name || '_recent', table_name
  );
  execute format(
    'create index %I on %I using gin (lexemes)', table_name || '_lexemes', table_name
  );
  -- For the sweeper, which takes the longest expired first.
  execute format(
    'create index %I on %I (expires_at) where expires_at is not null',
    table_name || '_expiry', table_name
  );
end
$$;

insert into collections (name, dimension, distance, table_name)
values ('memories', 768, 'cosine', 'memories');

select create_collection_table('memories', 768, 'english');
