import type { JsonObject, Role, Turn } from "../memory.ts";
import type { Operation } from "../operation-store.ts";
import type { OutboxItem, OutboxKind } from "../outbox-store.ts";
import type { InsightToDeliver } from "../ports.ts";
import type { WorkflowExecution, WorkflowStatus } from "../workflow.ts";
import {
  fromStoredDocument,
  type StoredDocumentPayload,
  toStoredDocument,
} from "./document-payload.ts";
import { toUpdate } from "./update-rows.ts";

/** A timestamptz as whole microseconds; int8 arrives as text. */
export function microsOf(column: string): string {
  return `(extract(epoch from ${column}) * 1000000)::int8`;
}

/** Whole microseconds, given as text, as a timestamptz, exactly. */
export function timeAt(parameter: string): string {
  return `(to_timestamp(0) + ${parameter}::int8 * interval '1 microsecond')`;
}

/** Milliseconds from now. */
export function after(parameter: string): string {
  return `now() + ${parameter}::float8 * interval '1 millisecond'`;
}

export const turnColumns = `id, agent_id, session_id, sequence, role, content, metadata, memory_id,
  ${microsOf("created_at")} as created`;

export interface TurnRow {
  readonly id: string;
  readonly agent_id: string;
  readonly session_id: string;
  readonly sequence: string;
  readonly role: string;
  readonly content: string;
  readonly metadata: JsonObject;
  readonly memory_id: string;
  readonly created: string;
}

export function toTurn(row: TurnRow): Turn {
  return {
    id: row.id,
    agentId: row.agent_id,
    sessionId: row.session_id,
    sequence: BigInt(row.sequence),
    role: row.role as Role,
    content: row.content,
    metadata: row.metadata,
    memoryId: row.memory_id,
    createTime: BigInt(row.created),
  };
}

export const workflowColumns = `workflow_id, adapter, repos, status, result, duration_us,
  error_message, summary, revision,
  ${microsOf("created_at")} as created, ${microsOf("updated_at")} as updated`;

export interface WorkflowRow {
  readonly workflow_id: string;
  readonly adapter: string;
  readonly repos: string[];
  readonly status: string;
  readonly result: JsonObject | null;
  readonly duration_us: string | null;
  readonly error_message: string;
  readonly summary: string;
  readonly revision: string;
  readonly created: string;
  readonly updated: string;
}

export function toExecution(row: WorkflowRow): WorkflowExecution {
  return {
    workflowId: row.workflow_id,
    adapter: row.adapter,
    repos: row.repos,
    status: row.status as WorkflowStatus,
    result: row.result ?? undefined,
    durationMicros: row.duration_us === null ? undefined : BigInt(row.duration_us),
    errorMessage: row.error_message,
    summary: row.summary,
    createTime: BigInt(row.created),
    updateTime: BigInt(row.updated),
    revision: BigInt(row.revision),
  };
}

/** An operation as the outbox keeps it. What is added here later must be optional to read. */
interface OperationPayload {
  readonly documents: readonly StoredDocumentPayload[];
  readonly mainCount: number;
  readonly insights: readonly InsightToDeliver[];
  readonly turnId: string | null;
  readonly request: { readonly method: string; readonly requestId: string } | null;
}

export function toPayload(operation: Operation): OperationPayload {
  return {
    documents: operation.documents.map(toStoredDocument),
    mainCount: operation.mainCount,
    insights: operation.insights,
    turnId: operation.turnId ?? null,
    request: operation.request ?? null,
  };
}

export function toOperation(id: string, payload: unknown): Operation {
  const { documents, mainCount, insights, turnId, request } = payload as OperationPayload;
  return {
    id,
    documents: documents.map(fromStoredDocument),
    mainCount,
    insights,
    turnId: turnId ?? undefined,
    request: request ?? undefined,
  };
}

export const outboxColumns = `tenant, id, kind, subject, payload, attempts,
  (extract(epoch from now() - created_at) * 1000)::float8 as age_ms`;

export interface OutboxRow {
  readonly tenant: string;
  readonly id: string;
  readonly kind: OutboxKind;
  readonly subject: string;
  readonly payload: unknown;
  readonly attempts: number;
  readonly age_ms: number;
}

export function toItem(row: OutboxRow): OutboxItem {
  const { tenant, id, kind, subject, payload, attempts, age_ms: ageMs } = row;
  const item = { tenant, id, attempts, ageMs };
  switch (kind) {
    case "operation":
      return { ...item, kind, operation: toOperation(id, payload) };
    case "workflow":
      return { ...item, kind, workflowId: (payload as { workflowId: string }).workflowId };
    case "embedding": {
      const { dedupScope } = payload as { dedupScope: string };
      return { ...item, kind, memoryId: subject, dedupScope };
    }
    case "insight":
      return { ...item, kind, insight: payload as InsightToDeliver };
    case "update":
      return { ...item, kind, update: toUpdate(id, subject, payload) };
    case "deletion":
      return { ...item, kind, memoryId: subject };
  }
}
