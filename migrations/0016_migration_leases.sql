-- Ingestion: a migration of a Session-Buddy file belongs to whoever holds its lease, by the
-- database's clock, as ingestions do. Before, its owner was guessed by host and process id.

alter table session_buddy_migrations
  -- Who works on it: a new token for each hold.
  add column lease_token text,
  -- Until when it belongs to the holder; one that lives moves this on.
  add column lease_until timestamptz;

-- One that runs just now stays its process's own for as long as it did before. That process is of
-- an older version and cannot move the lease on: it stops with its next sign of life.
update session_buddy_migrations
  set lease_token = owner_life, lease_until = heartbeat_at + interval '30 s'
  where status = 'in_progress';

alter table session_buddy_migrations
  drop column owner_host,
  drop column owner_pid,
  drop column owner_life,
  drop column heartbeat_at,
  add check (status <> 'in_progress' or (lease_token is not null and lease_until is not null));
