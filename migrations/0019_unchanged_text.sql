-- An update that brings the content that is there keeps its lexemes: making them takes a fifth of
-- what such an update takes, and documents that are sent again are mostly the same.
--
-- A function of its own, since a process of an older version changes the language of texts by
-- putting memories_index_text back and updating every content to itself.
create function memories_index_changed_text() returns trigger
language plpgsql as $$
begin
  -- Who sets `lexemes` to null wants them made anew.
  if tg_op = 'UPDATE' and new.lexemes is not null and new.content = old.content then
    return new;
  end if;
  new.lexemes := to_tsvector(tg_argv[0]::regconfig, left(new.content, 65536));
  new.lexeme_count :=
    (octet_length(tsvectorsend(new.lexemes)) - octet_length(tsvectorsend(strip(new.lexemes)))) / 2;
  return new;
end
$$;

-- Also what changes the language of a table's texts: the next update of a content is in it.
create function index_texts(table_name text, text_language text) returns void
language plpgsql as $$
begin
  execute format(
    $ddl$
      create or replace trigger memories_index_text
        before insert or update of content on %I
        for each row execute function memories_index_changed_text(%L)
    $ddl$,
    table_name, text_language
  );
end
$$;

do $$
declare
  collection record;
begin
  for collection in select c.table_name, c.text_language from collections c loop
    perform index_texts(collection.table_name, collection.text_language);
  end loop;
end
$$;

-- Tables that are made from now on have it too.
alter function create_collection_table(text, integer, text)
  rename to create_documents_table_with_passages;

create function create_collection_table(table_name text, dimension integer, text_language text)
returns void
language plpgsql as $$
begin
  perform create_documents_table_with_passages(table_name, dimension, text_language);
  perform index_texts(table_name, text_language);
end
$$;
