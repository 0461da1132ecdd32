import { type RetryOptions, withRetries } from "../resilience.ts";
import type { Queryable } from "./queryable.ts";
import { isTransient } from "./sql-errors.ts";

/**
 * Does database work again when it failed for a passing reason: a serialization failure, a
 * deadlock, a restart, a lost connection. `fn` holds a whole transaction or a single statement and
 * must be safe to repeat: when a connection is lost during a commit, the commit may have happened.
 */
export function withRetry<T>(fn: () => Promise<T>, options: RetryOptions = {}): Promise<T> {
  return withRetries(isTransient, fn, options);
}

/** Runs one statement, again where it failed for a passing reason; resolves with its rows. */
export type RetriedQuery = <T = Record<string, unknown>>(
  text: string,
  params: readonly unknown[],
  signal: AbortSignal | undefined,
) => Promise<T[]>;

/** For a store whose every statement may be repeated. */
export function retriedQuery(queryable: Queryable): RetriedQuery {
  return async <T>(text: string, params: readonly unknown[], signal: AbortSignal | undefined) => {
    const { rows } = await withRetry(() => queryable.query<T>(text, params, signal), { signal });
    return rows;
  };
}
