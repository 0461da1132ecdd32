import { newId } from "../../../shared/ids.ts";
import type { Postgres, Queryable } from "../../../shared/postgres/postgres.ts";
import { withRetry } from "../../../shared/postgres/retry.ts";
import { workflowMemoryId } from "../content-identity.ts";
import type { WorkflowExecution } from "../workflow.ts";
import type { WorkflowStore } from "../workflow-store.ts";
import { queueEmbeddings } from "./outbox-store.ts";
import { after, timeAt, toExecution, type WorkflowRow, workflowColumns } from "./rows.ts";

/** Workflow executions in PostgreSQL. */
export class PostgresWorkflowStore implements WorkflowStore {
  readonly #postgres: Postgres;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
  }

  async record(
    tenant: string,
    execution: WorkflowExecution,
    graceMs: number,
    signal?: AbortSignal,
  ): Promise<{ readonly execution: WorkflowExecution; readonly markId: string }> {
    const markId = newId();
    const { rows } = await withRetry(
      () =>
        this.#postgres.query<WorkflowRow>(
          recordStatement,
          [...recordParams(tenant, execution), markId, graceMs],
          signal,
        ),
      { signal },
    );
    const [row] = rows;
    if (row === undefined) throw new Error("recording an execution answers its row");
    return { execution: toExecution(row), markId };
  }

  async workflow(
    tenant: string,
    workflowId: string,
    signal?: AbortSignal,
  ): Promise<WorkflowExecution | undefined> {
    const { rows } = await this.#postgres.query<WorkflowRow>(
      `select ${workflowColumns} from workflow_executions
       where tenant = $1 and workflow_id = $2`,
      [tenant, workflowId],
      signal,
    );
    return rows[0] && toExecution(rows[0]);
  }

  async documentWritten(
    tenant: string,
    {
      markId,
      workflowId,
      revision,
      withoutVector,
    }: Parameters<WorkflowStore["documentWritten"]>[1],
    signal?: AbortSignal,
  ): Promise<boolean> {
    const params = [tenant, workflowId, revision.toString(), markId];
    const settle = async (queryable: Queryable) => {
      // Locked, so that no newer record slips in between the look and the removal.
      const { rowCount } = await queryable.query(
        `with current as (
           select from workflow_executions
           where tenant = $1 and workflow_id = $2 and revision = $3::int8 for update
         ), done as (
           delete from memory_outbox
           where tenant = $1 and id = $4 and exists (select from current)
         )
         select from current`,
        params,
        signal,
      );
      return rowCount > 0;
    };
    if (withoutVector === undefined) return withRetry(() => settle(this.#postgres), { signal });
    const settleAndQueue = async (tx: Queryable) => {
      if (!(await settle(tx))) return false;
      await queueEmbeddings(tx, tenant, [withoutVector], 0, signal);
      return true;
    };
    return withRetry(() => this.#postgres.transaction(settleAndQueue, { signal }), { signal });
  }

  async listWorkflows(
    tenant: string,
    query: Parameters<WorkflowStore["listWorkflows"]>[1],
    signal?: AbortSignal,
  ): Promise<WorkflowExecution[]> {
    const { status, adapter, repoId, from, to, after: cursor, limit } = query;
    const params: unknown[] = [tenant];
    const conditions = ["tenant = $1"];
    const given = (value: unknown, condition: (parameter: string) => string) => {
      params.push(value);
      conditions.push(condition(`$${params.length}`));
    };
    if (status !== undefined) given(status, (p) => `status = ${p}`);
    if (adapter !== "") given(adapter, (p) => `adapter = ${p}`);
    if (repoId !== "") given([repoId], (p) => `repos @> ${p}::text[]`);
    if (from !== undefined) given(from.toString(), (p) => `updated_at >= ${timeAt(p)}`);
    if (to !== undefined) given(to.toString(), (p) => `updated_at < ${timeAt(p)}`);
    if (cursor !== undefined) {
      given(cursor.updateTime.toString(), (p) => `updated_at <= ${timeAt(p)}`);
      const time = `$${params.length}`;
      given(
        cursor.workflowId,
        (p) => `(updated_at < ${timeAt(time)} or workflow_id > ${p}::text collate "C")`,
      );
    }
    params.push(limit);
    const { rows } = await this.#postgres.query<WorkflowRow>(
      `select ${workflowColumns} from workflow_executions
       where ${conditions.join(" and ")}
       order by updated_at desc, workflow_id limit $${params.length}`,
      params,
      signal,
    );
    return rows.map(toExecution);
  }
}

/**
 * The row, a mark that its document is behind, and the end of an older deletion, in one statement.
 * Each record has a mark: the one of a writer that was overtaken must outlive the other's.
 */
const recordStatement = `
  with recorded as (
    insert into workflow_executions as old
      (tenant, workflow_id, adapter, repos, status, result, duration_us, error_message, summary,
       memory_id)
    values ($1, $2, $3, $4::text[], $5, $6::jsonb, $7::int8, $8, $9, $10)
    on conflict (tenant, workflow_id) do update
    set adapter = excluded.adapter, repos = excluded.repos, status = excluded.status,
        result = excluded.result, duration_us = excluded.duration_us,
        error_message = excluded.error_message, summary = excluded.summary,
        revision = old.revision + 1,
        -- Rising even where the clock stands still or goes back, since pages are read by it.
        updated_at = greatest(now(), old.updated_at + interval '1 microsecond')
    returning *
  ), marked as (
    insert into memory_outbox (tenant, id, kind, subject, payload, available_at)
    values ($1, $11, 'workflow', $11, jsonb_build_object('workflowId', $2::text), ${after("$12")})
    on conflict (tenant, id) do nothing
  ), unmarked as (
    delete from memory_outbox where tenant = $1 and kind = 'deletion' and subject = $10
  )
  select ${workflowColumns} from recorded`;

function recordParams(tenant: string, execution: WorkflowExecution): unknown[] {
  const { result, durationMicros } = execution;
  return [
    tenant,
    execution.workflowId,
    execution.adapter,
    [...execution.repos],
    execution.status,
    result === undefined ? null : JSON.stringify(result),
    durationMicros?.toString() ?? null,
    execution.errorMessage,
    execution.summary,
    workflowMemoryId(execution.workflowId),
  ];
}
