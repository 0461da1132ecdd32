-- Which transaction gave a document its vector and its words, so that a process that remembers
-- documents can ask for those that were written since: what a snapshot of the database did not show.
--
-- 0 is for what was there before this migration. The number costs a write next to nothing: the index
-- only grows at its end, and rows of one statement share an entry.

create function note_document_change() returns trigger
language plpgsql as $$
begin
  new.changed_xid := pg_current_xact_id();
  return new;
end
$$;

create function track_document_changes(table_name text) returns void
language plpgsql as $$
begin
  execute format(
    'alter table %I add column changed_xid xid8 not null default ''0''', table_name
  );
  -- From here on; a default that changes would have made the rows anew.
  execute format(
    'alter table %I alter column changed_xid set default pg_current_xact_id()', table_name
  );
  execute format(
    'create index %I on %I (tenant, changed_xid)', table_name || '_changed', table_name
  );
  -- By its name after memories_index_text, which makes the lexemes.
  execute format(
    $ddl$
      create trigger note_document_change
        before update of embedding, content on %I
        for each row when (
          new.embedding is distinct from old.embedding or new.lexemes is distinct from old.lexemes
        )
        execute function note_document_change()
    $ddl$,
    table_name
  );
end
$$;

do $$
declare
  collection record;
begin
  for collection in select c.table_name from collections c loop
    perform track_document_changes(collection.table_name);
  end loop;
end
$$;

-- Tables that are made from now on have it too.
alter function create_collection_table(text, integer, text) rename to create_documents_table;

create function create_collection_table(table_name text, dimension integer, text_language text)
returns void
language plpgsql as $$
begin
  perform create_documents_table(table_name, dimension, text_language);
  perform track_document_changes(table_name);
end
$$;
