import { decodeVector } from "../../../shared/postgres/vector-codec.ts";
import type { MemoryTypeName, StoredDocument } from "../document.ts";
import type { JsonObject } from "../json.ts";
import { type DocumentTable, vectorBytes } from "./document-table.ts";

/** Expired documents are never returned, whether they are still there or not. */
export const isLive = "(m.expires_at is null or m.expires_at > now())";

const micros = (column: string) => `(extract(epoch from ${column}) * 1000000)::bigint`;

/** The select list of documents, of the table alias `m`. Times are exact, to the microsecond. */
export function documentColumns(table: DocumentTable, includeVectors: boolean): string {
  return [
    "m.id, m.content, m.memory_type, m.source_system, m.agent_id, m.workflow_id, m.repo_id",
    "m.metadata, m.content_hash",
    `${micros("m.created_at")} as created_micros`,
    `${micros("m.updated_at")} as updated_micros`,
    `${micros("m.expires_at")} as expires_micros`,
    ...(includeVectors ? [`${vectorBytes(table, "m.embedding")} as embedding`] : []),
  ].join(", ");
}

/**
 * At most what a document takes in a message, without reading its content: 4 bytes of protobuf for
 * one of JSON are a list of short numbers, and no metadata that is stored can come to more than
 * 384 KiB, however many digits PostgreSQL gives its numbers. 200 bytes are what is always there.
 */
export function documentBytes(table: DocumentTable, includeVectors: boolean): string {
  const names = "concat(m.id, m.source_system, m.agent_id, m.workflow_id, m.repo_id)";
  return [
    `200 + octet_length(m.content) + octet_length(${names})`,
    "least(4 * octet_length(m.metadata::text), 393216)",
    ...(includeVectors
      ? [`case when m.embedding is null then 0 else ${8 + 4 * table.dimension} end`]
      : []),
  ].join(" + ");
}

/** A row of `documentColumns` as node-postgres gives it. */
export interface DocumentRow {
  readonly id: string;
  readonly content: string;
  readonly memory_type: MemoryTypeName;
  readonly source_system: string;
  readonly agent_id: string | null;
  readonly workflow_id: string | null;
  readonly repo_id: string | null;
  readonly metadata: JsonObject;
  readonly content_hash: string;
  readonly created_micros: string;
  readonly updated_micros: string;
  readonly expires_micros: string | null;
  readonly embedding?: Buffer | null;
}

export function documentOfRow(row: DocumentRow): StoredDocument {
  return {
    id: row.id,
    content: row.content,
    vector: row.embedding ? decodeVector(row.embedding) : undefined,
    memoryType: row.memory_type,
    sourceSystem: row.source_system,
    agentId: row.agent_id ?? undefined,
    workflowId: row.workflow_id ?? undefined,
    repoId: row.repo_id ?? undefined,
    metadata: row.metadata,
    contentHash: row.content_hash,
    createTime: BigInt(row.created_micros),
    updateTime: BigInt(row.updated_micros),
    expireTime: row.expires_micros === null ? undefined : BigInt(row.expires_micros),
  };
}
