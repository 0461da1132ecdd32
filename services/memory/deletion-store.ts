export interface DeletionStore {
  /**
   * Removes all that belongs to these memories: turns and workflow executions that hold them,
   * versions and changes under way, insights that wait, embeddings and operations' documents that
   * wait, with operations that have none left. Of request ids that stored them nothing remains but
   * that they were used: such a request is known with an empty subject. Leaves a mark per memory
   * until `deleted`. How many turns and executions went.
   */
  forget(
    tenant: string,
    memoryIds: readonly string[],
    graceMs: number,
    signal?: AbortSignal,
  ): Promise<number>;
  /**
   * The documents are gone. A mark whose memory was being embedded stays, since that may write the
   * document once more; the worker then deletes it again.
   */
  deleted(tenant: string, memoryIds: readonly string[], signal?: AbortSignal): Promise<void>;
  /** These ids are given to new memories: older marks no longer speak of them. */
  unmark(tenant: string, memoryIds: readonly string[], signal?: AbortSignal): Promise<void>;
}
