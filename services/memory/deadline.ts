import { DependencyUnavailableError, DomainError } from "../../shared/errors.ts";

/** On whose behalf, and for how long, something is done. */
export interface Call {
  readonly tenant: string;
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch; undefined: the caller waits for ever. */
  readonly deadline: number | undefined;
  /** Goes along to peers, for their logs. */
  readonly requestId?: string | undefined;
}

/** What a peer is told of a call. */
export interface PeerCall {
  readonly tenant: string;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly requestId?: string | undefined;
}

/** Milliseconds that are left, at least 1, at most `most`. */
export function remainingMs(call: Call, most: number): number {
  if (call.deadline === undefined) return most;
  return Math.max(1, Math.min(most, call.deadline - Date.now()));
}

/** Nothing came within the time that was set for it; the call as a whole may still go on. */
export class BudgetExceededError extends DomainError {
  override readonly name = "BudgetExceededError";

  constructor(budgetMs: number) {
    super("deadline_exceeded", "DEADLINE_EXCEEDED", `no answer within ${Math.round(budgetMs)} ms`);
  }
}

/**
 * Asks a peer with a bound on time that holds even where the peer ignores it. Rejects with
 * BudgetExceededError when the time is over and with the signal's reason when it aborts.
 */
export async function within<T>(
  call: Call,
  budgetMs: number,
  ask: (peerCall: PeerCall) => Promise<T>,
): Promise<T> {
  call.signal.throwIfAborted();
  // Cheaper than a signal of both, of which the collector has to keep account.
  const over = new AbortController();
  const { signal } = over;
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const end = (reason: unknown) => {
    reject(reason);
    over.abort(reason);
  };
  const onAbort = () => end(call.signal.reason);
  call.signal.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(() => end(new BudgetExceededError(budgetMs)), budgetMs);
  try {
    // A little more for the peer's own deadline, so that ours ends first and names the budget.
    const timeoutMs = Math.ceil(budgetMs) + 50;
    const { tenant, requestId } = call;
    return await Promise.race([ask({ tenant, signal, timeoutMs, requestId }), ended]);
  } finally {
    clearTimeout(timer);
    call.signal.removeEventListener("abort", onAbort);
  }
}

/**
 * As `within`, for a peer that the call cannot do without: too late is as bad as not there, so that
 * ends in UNAVAILABLE unless the caller's own time is over.
 */
export async function withinOrUnavailable<T>(
  call: Call,
  dependency: string,
  budgetMs: number,
  ask: (peerCall: PeerCall) => Promise<T>,
): Promise<T> {
  try {
    return await within(call, budgetMs, ask);
  } catch (error) {
    const late = error instanceof DomainError && error.kind === "deadline_exceeded";
    const callIsOver = call.deadline !== undefined && call.deadline <= Date.now();
    if (!late || callIsOver) throw error;
    throw new DependencyUnavailableError(
      dependency,
      `${dependency} does not answer in time`,
      error,
    );
  }
}
