-- The memory service: conversations, workflow executions, and what makes work that spans the
-- vector store and this database safe to repeat.

-- Hands out places in a session: a row lock for an instant, and no gap to look for.
create table conversation_sessions (
  tenant text collate "C" not null,
  session_id text collate "C" not null,
  last_sequence bigint not null,
  primary key (tenant, session_id)
);

create table agent_conversations (
  tenant text collate "C" not null,
  id text collate "C" not null,
  agent_id text collate "C" not null,
  session_id text collate "C" not null,
  sequence bigint not null check (sequence >= 1),
  role text not null check (role in ('user', 'assistant')),
  content text not null check (content <> ''),
  metadata jsonb not null default '{}',
  repo_id text collate "C",
  -- The document that makes the turn searchable; equal contents of one agent's session share one.
  memory_id text collate "C" not null,
  created_at timestamptz not null default now(),
  primary key (tenant, id),
  unique (tenant, session_id, sequence)
);

create index agent_conversations_by_memory on agent_conversations (tenant, memory_id);
create index agent_conversations_by_agent on agent_conversations (tenant, agent_id, created_at desc);

create table workflow_executions (
  tenant text collate "C" not null,
  workflow_id text collate "C" not null,
  adapter text collate "C" not null,
  repos text[] not null default '{}',
  status text not null check (status in ('pending', 'running', 'completed', 'failed')),
  result jsonb,
  duration_us bigint check (duration_us >= 0),
  error_message text not null default '',
  -- The caller's words; empty where the summary is made from the other columns.
  summary text not null default '',
  memory_id text collate "C" not null,
  -- Rises with every record, so that a writer of its document knows whether it was overtaken.
  revision bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant, workflow_id)
);

create index workflow_executions_by_update
  on workflow_executions (tenant, updated_at desc, workflow_id);
create index workflow_executions_by_status
  on workflow_executions (tenant, status, updated_at desc, workflow_id);
create index workflow_executions_by_adapter
  on workflow_executions (tenant, adapter, updated_at desc, workflow_id);
create index workflow_executions_by_memory on workflow_executions (tenant, memory_id);
create index workflow_executions_by_repo on workflow_executions using gin (repos);

-- Work that must not be forgotten, whatever dies:
--   operation  documents that must reach the vector store, with what belongs to them
--   workflow   an execution whose document may be behind its row
--   embedding  a document without a vector
--   insight    an insight for Session-Buddy
--   deletion   a memory whose document must be gone
create table memory_outbox (
  tenant text collate "C" not null,
  id text collate "C" not null,
  kind text not null
    check (kind in ('operation', 'workflow', 'embedding', 'insight', 'deletion')),
  -- What it is about; the same work waits once.
  subject text collate "C" not null,
  payload jsonb not null default '{}',
  attempts integer not null default 0,
  created_at timestamptz not null default now(),
  -- Not before this time; also the lease of whoever has taken it.
  available_at timestamptz not null,
  primary key (tenant, id),
  unique (tenant, kind, subject)
);

create index memory_outbox_due on memory_outbox (kind, available_at);

-- Request ids of the last 7 days.
create table request_ids (
  tenant text collate "C" not null,
  method text collate "C" not null,
  request_id text collate "C" not null,
  payload_hash text collate "C" not null,
  operation_id text collate "C" not null,
  -- The turn or memory that the first call made.
  subject text collate "C" not null,
  deduplicated boolean not null default false,
  created_at timestamptz not null default now(),
  primary key (tenant, method, request_id)
);

create index request_ids_by_age on request_ids (created_at);
