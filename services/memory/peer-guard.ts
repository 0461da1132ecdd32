import { untilAborted } from "../../shared/abortable.ts";
import { DependencyUnavailableError, DomainError } from "../../shared/errors.ts";
import type { Logger } from "../../shared/logging.ts";
import { type BreakerState, type CircuitBreaker, circuitBreaker } from "../../shared/resilience.ts";
import { BudgetExceededError, type PeerCall } from "./deadline.ts";

/** The peer failed repeatedly and was not asked. */
export class LeftAloneError extends DependencyUnavailableError {
  constructor(peer: string) {
    super(peer, `${peer} failed repeatedly and is left alone for some seconds`);
  }
}

export interface GuardOptions {
  /** Failures in a row after which the peer is left alone. Default 3. */
  readonly threshold?: number;
  /** How long it is left alone before one call tries again. Default 5,000 ms. */
  readonly halfOpenAfterMs?: number;
}

/** A caller with less time than this proves nothing by running out of it. */
const fairBudgetMs = 100;
/** How long a trial may take. */
const trialMs = 2_000;

/**
 * Asks a peer that can be done without, unless it failed repeatedly. Then callers are refused at
 * once, and every now and then what one of them wants is also asked of the peer, in the background,
 * so that nobody waits for what is probably still down. It is the common experience of all that are
 * guarded by one that counts.
 */
export class PeerGuard {
  readonly #name: string;
  readonly #breaker: CircuitBreaker;

  constructor(
    name: string,
    logger: Logger,
    { threshold = 3, halfOpenAfterMs = 5_000 }: GuardOptions = {},
  ) {
    this.#name = name;
    this.#breaker = circuitBreaker({
      name,
      threshold,
      halfOpenAfterMs,
      isFailure: isDown,
      onStateChange(state) {
        if (state === "open") logger.warn(`${name} fails; searches leave it alone`);
        if (state === "closed") logger.info(`${name} answers searches again`);
      },
    });
  }

  get state(): BreakerState {
    return this.#breaker.state;
  }

  /** What `ask` resolves to; it may be called a second time for a trial. Throws LeftAloneError. */
  async ask<T>(call: PeerCall, ask: (call: PeerCall) => Promise<T>): Promise<T> {
    if (this.#breaker.state === "closed") {
      return await this.#breaker.execute(() => inTime(call, ask));
    }
    // While one trial runs others would wait for its outcome: they are not begun.
    if (this.#breaker.state === "open") this.#try(call, ask);
    throw new LeftAloneError(this.#name);
  }

  /** Not before its time is this a trial: the breaker refuses it at once. */
  #try({ tenant, requestId }: PeerCall, ask: (call: PeerCall) => Promise<unknown>): void {
    const signal = AbortSignal.timeout(trialMs);
    const trial = { tenant, requestId, signal, timeoutMs: trialMs };
    this.#breaker.execute(() => inTime(trial, ask)).catch(() => {});
  }
}

/** Ends with its budget even where the peer ignores that, so that the breaker learns of it. */
async function inTime<T>(call: PeerCall, ask: (call: PeerCall) => Promise<T>): Promise<T> {
  try {
    return await untilAborted(ask(call), call.signal);
  } catch (error) {
    const late = call.signal.aborted && isTimeout(call.signal.reason);
    if (!late) throw error;
    if (call.timeoutMs < fairBudgetMs) throw new HurriedCallError(error);
    throw call.signal.reason;
  }
}

/** Its caller had hardly any time; nothing was learnt of the peer. */
class HurriedCallError extends DomainError {
  constructor(cause: unknown) {
    super("deadline_exceeded", "DEADLINE_EXCEEDED", "no answer in time", { cause });
  }
}

function isTimeout(reason: unknown): boolean {
  if (reason instanceof BudgetExceededError) return true;
  return reason instanceof DOMException && reason.name === "TimeoutError";
}

/** Down, late or broken inside; not what the caller asked wrongly, nor a caller that went away. */
function isDown(error: unknown): boolean {
  if (isTimeout(error)) return true;
  if (!(error instanceof DomainError) || error instanceof HurriedCallError) return false;
  return ["unavailable", "deadline_exceeded", "internal"].includes(error.kind);
}
