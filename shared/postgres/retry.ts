import { type RetryOptions, withRetries } from "../resilience.ts";
import { isTransient } from "./sql-errors.ts";

/**
 * Does database work again when it failed for a passing reason: a serialization failure, a
 * deadlock, a restart, a lost connection. `fn` holds a whole transaction or a single statement and
 * must be safe to repeat: when a connection is lost during a commit, the commit may have happened.
 */
export function withRetry<T>(fn: () => Promise<T>, options: RetryOptions = {}): Promise<T> {
  return withRetries(isTransient, fn, options);
}
