import type { Call } from "./deadline.ts";
import type { DocumentWriter } from "./document-writer.ts";
import type { EmbeddingState } from "./memory.ts";
import { type WorkflowExecution, workflowMemory } from "./workflow.ts";
import type { WorkflowStore } from "./workflow-store.ts";

/** Somebody else's record in between makes us write again; so often in a row nobody records. */
const mostRounds = 5;

/** Workflow executions, each with a memory that makes it searchable. */
export class Workflows {
  readonly #store: WorkflowStore;
  readonly #writer: DocumentWriter;
  readonly #graceMs: number;

  /** `graceMs`: how long the worker leaves a record to the call that made it. */
  constructor(store: WorkflowStore, writer: DocumentWriter, graceMs: number) {
    this.#store = store;
    this.#writer = writer;
    this.#graceMs = graceMs;
  }

  /**
   * Records an execution, or its new state. When the call fails after the row is written, the row
   * stays and the worker brings its memory up to date; recording again is safe.
   */
  async record(
    call: Call,
    told: WorkflowExecution,
  ): Promise<{ readonly execution: WorkflowExecution; readonly embedding: EmbeddingState }> {
    const { tenant, signal } = call;
    const { execution, markId } = await this.#store.record(tenant, told, this.#graceMs, signal);
    const embedding = await this.bringUpToDate(call, execution, markId);
    return { execution, embedding };
  }

  /**
   * Writes the memory of an execution and removes the mark that it is behind. Where the execution
   * is recorded again meanwhile its newer state is written too: two writers may overtake each
   * other, but each goes on until what it wrote is what stands in the row, and until then its mark
   * tells the worker to look.
   */
  async bringUpToDate(
    call: Call,
    execution: WorkflowExecution,
    markId: string,
  ): Promise<EmbeddingState> {
    const { tenant, signal } = call;
    const { workflowId } = execution;
    let state: EmbeddingState = "pending";
    let current: WorkflowExecution | undefined = execution;
    for (let round = 1; current !== undefined && round <= mostRounds; round++) {
      const memory = workflowMemory(current);
      const [written] = await this.#writer.write(call, [memory]);
      if (written?.kind === "refused") throw written.error;
      const withVector = written?.withVector === true;
      state = withVector ? "ready" : "pending";
      const { id: memoryId, dedupScope } = memory;
      const done = await this.#store.documentWritten(
        tenant,
        {
          markId,
          workflowId,
          revision: current.revision,
          withoutVector: withVector ? undefined : { memoryId, dedupScope },
        },
        signal,
      );
      if (done) return state;
      current = await this.#store.workflow(tenant, workflowId, signal);
    }
    return state;
  }

  /** The worker's part: a mark that was left behind. */
  async catchUp(call: Call, workflowId: string, markId: string): Promise<boolean> {
    const execution = await this.#store.workflow(call.tenant, workflowId, call.signal);
    if (execution === undefined) return false;
    await this.bringUpToDate(call, execution, markId);
    return true;
  }

  list(
    call: Call,
    query: Parameters<WorkflowStore["listWorkflows"]>[1],
  ): Promise<WorkflowExecution[]> {
    return this.#store.listWorkflows(call.tenant, query, call.signal);
  }
}
