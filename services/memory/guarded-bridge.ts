import { untilAborted } from "../../shared/abortable.ts";
import { DependencyUnavailableError, DomainError } from "../../shared/errors.ts";
import type { Logger } from "../../shared/logging.ts";
import { type BreakerState, type CircuitBreaker, circuitBreaker } from "../../shared/resilience.ts";
import { BudgetExceededError, type PeerCall } from "./deadline.ts";
import type { Bridge } from "./ports.ts";

type Search = Bridge["search"];

/** Session-Buddy failed repeatedly and was not asked. */
export class BridgeLeftAloneError extends DependencyUnavailableError {
  constructor() {
    super("session-buddy", "it failed repeatedly and is left alone for some seconds");
  }
}

export interface GuardOptions {
  /** Failures in a row after which the bridge is left alone. Default 3. */
  readonly threshold?: number;
  /** How long it is left alone before one search tries again. Default 5,000 ms. */
  readonly halfOpenAfterMs?: number;
}

/** A caller with less time than this proves nothing by running out of it. */
const fairBudgetMs = 100;
/** How long a trial may take. */
const trialMs = 2_000;

/**
 * Searches the bridge unless it failed repeatedly. Then searches are refused at once, and every now
 * and then one of them is also asked of the bridge, in the background, so that nobody waits for what
 * is probably still down.
 */
export class GuardedBridge implements Pick<Bridge, "search" | "canTest"> {
  readonly #bridge: Bridge;
  readonly #breaker: CircuitBreaker;

  constructor(
    bridge: Bridge,
    logger: Logger,
    { threshold = 3, halfOpenAfterMs = 5_000 }: GuardOptions = {},
  ) {
    this.#bridge = bridge;
    this.#breaker = circuitBreaker({
      name: "session-buddy",
      threshold,
      halfOpenAfterMs,
      isFailure: isDown,
      onStateChange: (state) => tell(logger, state),
    });
  }

  get state(): BreakerState {
    return this.#breaker.state;
  }

  canTest(filter: Parameters<Bridge["canTest"]>[0]): boolean {
    return this.#bridge.canTest(filter);
  }

  async search(...[call, search]: Parameters<Search>): ReturnType<Search> {
    if (this.#breaker.state === "closed") {
      return await this.#breaker.execute(() => this.#ask(call, search));
    }
    // While one trial runs others would wait for its outcome: they are not begun.
    if (this.#breaker.state === "open") this.#try(call, search);
    throw new BridgeLeftAloneError();
  }

  /** Not before its time is this a trial: the breaker refuses it at once. */
  #try({ tenant, requestId }: PeerCall, search: Parameters<Search>[1]): void {
    const signal = AbortSignal.timeout(trialMs);
    const trial = { tenant, requestId, signal, timeoutMs: trialMs };
    this.#breaker.execute(() => this.#ask(trial, search)).catch(() => {});
  }

  /** Ends with its budget even where the bridge ignores that, so that the breaker learns of it. */
  async #ask(...[call, search]: Parameters<Search>): ReturnType<Search> {
    try {
      return await untilAborted(this.#bridge.search(call, search), call.signal);
    } catch (error) {
      const late = call.signal.aborted && isTimeout(call.signal.reason);
      if (!late) throw error;
      if (call.timeoutMs < fairBudgetMs) throw new HurriedCallError(error);
      throw call.signal.reason;
    }
  }
}

/** Its caller had hardly any time; nothing was learnt of the bridge. */
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

function tell(logger: Logger, state: BreakerState): void {
  if (state === "open") logger.warn("session-buddy fails; searches leave it alone");
  if (state === "closed") logger.info("session-buddy answers searches again");
}
