-- Further vectors of a document, one for each passage of its content, in a table beside that of its
-- collection. A document has passages only where it has a vector, and loses them with it.

create function create_passages_table(table_name text, dimension integer) returns void
language plpgsql as $$
declare
  -- As the document's own vector.
  half constant boolean := dimension > 2000;
  vector_bytes constant integer := 8 + dimension * case when half then 2 else 4 end;
begin
  -- The primary key is also what a search reads a tenant's passages by.
  execute format(
    $ddl$
      create table %I (
        tenant text collate "C" not null,
        document_id text collate "C" not null,
        n smallint not null check (n >= 0),
        -- Characters of the content: the first one, and the one after the last.
        range_start integer not null check (range_start >= 0),
        range_end integer not null check (range_end > range_start),
        embedding %s(%s) not null,
        primary key (tenant, document_id, n),
        foreign key (tenant, document_id) references %I (tenant, id) on delete cascade
      )
    $ddl$,
    table_name || '_passages', case when half then 'halfvec' else 'vector' end, dimension, table_name
  );
  -- Every one is read by a search.
  execute format(
    'alter table %I alter column embedding set storage %s',
    table_name || '_passages', case when vector_bytes <= 6200 then 'plain' else 'external' end
  );
end
$$;

do $$
declare
  collection record;
begin
  for collection in select c.table_name, c.dimension from collections c loop
    perform create_passages_table(collection.table_name, collection.dimension);
  end loop;
end
$$;

-- Tables that are made from now on have one too.
alter function create_collection_table(text, integer, text) rename to create_tracked_documents_table;

create function create_collection_table(table_name text, dimension integer, text_language text)
returns void
language plpgsql as $$
begin
  perform create_tracked_documents_table(table_name, dimension, text_language);
  perform create_passages_table(table_name, dimension);
end
$$;
