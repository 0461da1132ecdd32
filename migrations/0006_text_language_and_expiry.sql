-- The language of a collection's texts, and the way to documents that have expired.

-- A text search configuration of PostgreSQL; what it makes of texts stands in `lexemes`.
alter table collections add column text_language text not null default 'english';

-- Which configuration it is the trigger says by its argument, so that no write has to look it up.
--
-- lexeme_count is what the positions of all lexemes take in the binary format, two bytes each: an
-- expression that PL/pgSQL evaluates by itself, where a query over unnest(lexemes) would take as long
-- as making the lexemes.
create or replace function memories_index_text() returns trigger
language plpgsql as $$
begin
  new.lexemes := to_tsvector(tg_argv[0]::regconfig, left(new.content, 65536));
  new.lexeme_count :=
    (octet_length(tsvectorsend(new.lexemes)) - octet_length(tsvectorsend(strip(new.lexemes)))) / 2;
  return new;
end
$$;

create or replace trigger memories_index_text
  before insert or update of content on memories
  for each row execute function memories_index_text('english');

-- For the sweeper, which takes the longest expired first.
create index memories_expiry on memories (expires_at) where expires_at is not null;
