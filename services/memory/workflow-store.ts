import type { Micros } from "./memory.ts";
import type { PendingEmbedding } from "./operation-store.ts";
import type { WorkflowExecution, WorkflowStatus } from "./workflow.ts";

/** A place in the order "last updated first, then by id". */
export interface WorkflowCursor {
  readonly updateTime: Micros;
  readonly workflowId: string;
}

export interface WorkflowStore {
  /**
   * Records the execution, or its new state, together with a mark that its document is behind.
   * Resolves to the row and the mark's id. The worker leaves the mark alone for `graceMs`.
   */
  record(
    tenant: string,
    execution: WorkflowExecution,
    graceMs: number,
    signal?: AbortSignal,
  ): Promise<{ readonly execution: WorkflowExecution; readonly markId: string }>;
  workflow(
    tenant: string,
    workflowId: string,
    signal?: AbortSignal,
  ): Promise<WorkflowExecution | undefined>;
  /**
   * Removes the mark and queues the embedding where one is given, if the execution is still at
   * `revision`. False, with the mark left, where it was recorded again meanwhile.
   */
  documentWritten(
    tenant: string,
    written: {
      readonly markId: string;
      readonly workflowId: string;
      readonly revision: bigint;
      readonly withoutVector: PendingEmbedding | undefined;
    },
    signal?: AbortSignal,
  ): Promise<boolean>;
  listWorkflows(
    tenant: string,
    query: {
      readonly status: WorkflowStatus | undefined;
      readonly adapter: string;
      readonly repoId: string;
      /** Inclusive. */
      readonly from: Micros | undefined;
      /** Exclusive. */
      readonly to: Micros | undefined;
      readonly after: WorkflowCursor | undefined;
      readonly limit: number;
    },
    signal?: AbortSignal,
  ): Promise<WorkflowExecution[]>;
}
