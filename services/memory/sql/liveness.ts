import { DomainError } from "../../../shared/errors.ts";
import type { Postgres } from "../../../shared/postgres/postgres.ts";

/** So long all connections may be taken without any answer before the database counts as away. */
const longestSilenceMs = 10_000;

/**
 * A check that the database answers. It stands in the same queue as the work, so that a check that
 * is not served in time says nothing while others are: under load the database is busy, not away.
 */
export function unlessBusy(
  postgres: Pick<Postgres, "ping" | "stats" | "answers">,
  now: () => number = () => performance.now(),
): (signal: AbortSignal) => Promise<void> {
  let seen = { answers: -1, at: Number.NEGATIVE_INFINITY };
  const look = () => {
    const { answers } = postgres;
    if (answers !== seen.answers) seen = { answers, at: now() };
  };
  return async (signal) => {
    look();
    const before = seen.answers;
    try {
      await postgres.ping(signal);
    } catch (error) {
      look();
      const waited = signal.aborted || isOverloaded(error);
      if (waited && seen.answers > before) return;
      const { idle, total, max } = postgres.stats();
      if (waited && idle === 0 && total >= max && now() - seen.at < longestSilenceMs) return;
      throw error;
    }
  };
}

function isOverloaded(error: unknown): boolean {
  return error instanceof DomainError && error.kind === "resource_exhausted";
}
