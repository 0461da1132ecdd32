/** A statement; one with a name is prepared once per connection, and should be a constant. */
export type Statement = string | { readonly name?: string; readonly text: string };

export interface QueryOutcome<T> {
  readonly rows: T[];
  /** Rows returned, or touched by a statement that returns none. */
  readonly rowCount: number;
}

/** What can be asked of the pool as of a transaction. */
export interface Queryable {
  /**
   * Runs one statement. Values stand in the text as $1, $2 ...; a Buffer is sent in binary format.
   * When the signal aborts, the promise rejects with its reason at once and the statement is
   * cancelled. Throws SqlError for what the server refuses, DependencyUnavailableError where there
   * is no connection, and DomainError OVERLOADED when too many wait for one.
   */
  query<T = Record<string, unknown>>(
    statement: Statement,
    params?: readonly unknown[],
    signal?: AbortSignal,
  ): Promise<QueryOutcome<T>>;
}
