import { DomainError } from "../../shared/errors.ts";
import { sleep } from "../../shared/lifecycle.ts";

const firstPauseMs = 200;
const longestPauseMs = 5_000;

/** Failures that pass by themselves: a peer restarts, a queue is full. */
function mayPass(error: unknown): error is DomainError {
  return (
    error instanceof DomainError &&
    (error.kind === "unavailable" ||
      error.kind === "resource_exhausted" ||
      error.kind === "deadline_exceeded" ||
      error.kind === "aborted") &&
    error.reason !== "MESSAGE_TOO_LARGE"
  );
}

export interface Patience {
  /** How long failures may go on before the last of them is thrown. */
  readonly limitMs: number;
  /** Ends the waiting, with its reason. */
  readonly signal: AbortSignal;
  readonly onRetry?: ((error: DomainError, pauseMs: number) => void) | undefined;
}

/** Repeats what must be safe to repeat, with growing random pauses, while its failure may pass. */
export async function patiently<T>(
  { limitMs, signal, onRetry }: Patience,
  attempt: () => Promise<T>,
): Promise<T> {
  const since = performance.now();
  for (let ceiling = firstPauseMs; ; ceiling = Math.min(longestPauseMs, ceiling * 2)) {
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (!mayPass(error)) throw error;
      const pauseMs = Math.max(error.retryAfterMs ?? 0, ceiling * (0.5 + Math.random() / 2));
      if (performance.now() - since + pauseMs > limitMs) throw error;
      onRetry?.(error, pauseMs);
      await sleep(pauseMs, signal);
    }
  }
}
