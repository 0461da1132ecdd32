/** Tables of Session-Buddy's older layouts, as its versions made them. */

/** A, of September 2025; `project` came to reflections a little later. */
export const eraA = `
create table conversations (
  id varchar primary key, content text not null, embedding float[384], project varchar,
  timestamp timestamp, metadata json);
create table reflections (
  id varchar primary key, content text not null, embedding float[384], project varchar,
  tags varchar[], timestamp timestamp, metadata json);
create table reflection_tags (reflection_id varchar, tag varchar, primary key (reflection_id, tag));
create table access_log_v2 (
  reflection_id varchar primary key, access_timestamp timestamp, access_count integer);
create table session_links (
  id varchar primary key, source_session_id varchar not null, target_session_id varchar not null,
  link_type varchar not null, context text, created_at timestamp default now(), metadata json,
  unique (source_session_id, target_session_id, link_type));
create table search_index (id varchar primary key, content text);
`;

/** A in its oldest form, without a project of reflections. */
export const oldestReflections = `
create table reflections (
  id varchar primary key, content text not null, embedding float[384], tags varchar[],
  timestamp timestamp, metadata json);
`;

/** B, of late 2025: all but the vector is in the metadata. */
export const eraB = `
create schema vectors;
create table vectors.default (
  id varchar primary key, vector float[384], metadata json,
  created_at timestamp default current_timestamp);
`;

/** C has none of the columns that D and E have beside. */
export function collectionTables(collection: string, era: "C" | "D" | "E"): string {
  const later = era === "C" ? "" : ", fingerprint blob, subcategory varchar";
  const insights =
    era === "C"
      ? ""
      : `, insight_type varchar default 'general', usage_count integer default 0,
         last_used_at timestamp, confidence_score real default 0.5`;
  return `
create table ${collection}_conversations (
  id varchar primary key, content varchar not null, metadata json, created_at timestamp not null,
  updated_at timestamp not null, embedding float[384]${later});
create table ${collection}_reflections (
  id varchar primary key, conversation_id varchar references ${collection}_conversations (id),
  content varchar not null, tags varchar[], metadata json, created_at timestamp not null,
  updated_at timestamp not null, embedding float[384]${insights}${later});
`;
}

/** The knowledge graph. */
export const eraGraph = `
create table kg_entities (
  id varchar primary key, name varchar not null, entity_type varchar not null,
  observations varchar[], properties json, created_at timestamp, updated_at timestamp,
  metadata json);
create table kg_relationships (
  id varchar primary key, from_entity varchar not null, to_entity varchar not null,
  relation_type varchar not null, properties json, created_at timestamp, metadata json);
`;

/** As Session-Buddy wraps a text that is no valid Unicode. */
export function wrapped(...bytes: number[]): string {
  return `__SB64__${Buffer.from(bytes).toString("base64")}`;
}
