import { metadataOf } from "./draft-metadata.ts";
import type { Parameter } from "./duckdb.ts";
import { columnSource, type Layout } from "./layout.ts";
import type { QueuedWrite } from "./outbox.ts";
import type { WallTime } from "./wall-time.ts";

/**
 * Session-Buddy's newest layout as its own adapter makes it, so that it takes the file over as its
 * own. Its insight_type has a default: who inserts a reflection must write null.
 */
export const createV2Tables = `
create table if not exists conversations_v2 (
  id varchar primary key,
  content varchar not null,
  embedding float[384],
  category varchar not null,
  subcategory varchar,
  importance_score float default 0.5,
  memory_tier varchar default 'long_term',
  access_count integer default 0,
  last_accessed timestamp,
  project varchar,
  namespace varchar default 'default',
  timestamp timestamp default current_timestamp,
  session_id varchar,
  user_id varchar default 'default',
  searchable_content varchar,
  reasoning varchar,
  metadata varchar,
  source_type varchar check (source_type is null or source_type in
    ('claude_code', 'crackerjack', 'mahavishnu_workflow', 'manual', 'migration')),
  turn_parent_id varchar,
  causal_parent_id varchar,
  fingerprint blob
);
create table if not exists reflections_v2 (
  id varchar primary key,
  conversation_id varchar references conversations_v2 (id),
  content varchar not null,
  embedding float[384],
  category varchar not null default 'context',
  subcategory varchar,
  importance_score float default 0.5,
  memory_tier varchar default 'long_term',
  tags varchar[],
  related_entities varchar[],
  namespace varchar default 'default',
  project varchar,
  access_count integer default 0,
  last_accessed timestamp,
  timestamp timestamp default current_timestamp,
  created_at timestamp default current_timestamp,
  updated_at timestamp default current_timestamp,
  metadata json,
  insight_type varchar default 'general',
  usage_count integer default 0,
  last_used_at timestamp,
  confidence_score float default 0.5,
  fingerprint blob
);
`;

const columns = {
  tags: "tags",
  project: "project",
  collection: "namespace",
  insightType: "insight_type",
  confidence: "confidence_score",
  metadata: "metadata",
  created: ["created_at", "timestamp"],
  updated: "updated_at",
};

/** F, since June 2026: two tables for all collections. */
export const v2Layout: Layout = {
  sourcesOf(tables, era) {
    if (era !== "F") return [];
    return tables.flatMap((table) => {
      if (table.name === "conversations_v2") {
        return [columnSource({ era, table, kind: "conversation", columns })];
      }
      if (table.name !== "reflections_v2") return [];
      return [columnSource({ era, table, kind: "reflection", columns })];
    });
  },
};

/**
 * A row of reflections_v2 as Session-Buddy's own store_insight and store_reflection would write it.
 * Without an embedding: theirs have 384 components of a model that nothing records, and their
 * search takes rows without one. Every column is named, because the two variants of the table
 * differ in their defaults.
 */
export function insertV2(
  { id, draft, queuedMicros }: QueuedWrite,
  columns: ReadonlyMap<string, string>,
  wallTime: WallTime,
): { sql: string; parameters: Parameter[] } {
  const now = { wallMicros: wallTime.fromMicros(queuedMicros) };
  const values: Record<string, Parameter> = {
    id,
    content: draft.content,
    category: "context",
    importance_score: 0.5,
    memory_tier: "long_term",
    tags: { texts: draft.tags },
    namespace: "default",
    project: draft.project === "" ? null : draft.project,
    access_count: 0,
    timestamp: now,
    created_at: now,
    updated_at: now,
    metadata: JSON.stringify(metadataOf(draft)),
    insight_type: draft.insight?.type ?? null,
    usage_count: 0,
    // The one word for us that Session-Buddy's check takes, where a version has the column here.
    source_type: "mahavishnu_workflow",
    confidence_score: draft.insight?.confidence ?? 0.5,
  };
  const present = Object.entries(values).filter(([name]) => columns.has(name));
  return {
    sql: `insert into reflections_v2 (${present.map(([name]) => `"${name}"`).join(", ")})
      values (${present.map((_, at) => `$${at + 1}`).join(", ")})`,
    parameters: present.map(([, value]) => value),
  };
}
