import {
  BrokenCircuitError,
  circuitBreaker as breakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  ExponentialBackoff,
  fullJitterGenerator,
  handleWhen,
  retry,
} from "cockatiel";
import { untilAborted } from "./abortable.ts";
import { DependencyUnavailableError } from "./errors.ts";

export interface RetryOptions {
  /** Calls in all, the first included; at least 1. Default 4. */
  readonly attempts?: number;
  /** Upper bound of the first pause, in milliseconds; it doubles with each attempt. Default 50. */
  readonly initialDelayMs?: number;
  /** Upper bound of any pause, in milliseconds. Default 2,000. */
  readonly maxDelayMs?: number;
  /** Ends the waiting; the promise rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Told before each pause. */
  readonly onRetry?: (event: { attempt: number; delayMs: number; error: unknown }) => void;
}

/**
 * Calls `fn` again while it fails with an error that `transient` accepts, after a pause drawn
 * evenly from zero to an exponentially growing bound (full jitter), so that callers which failed
 * together do not come back together. The last error is thrown as it is.
 */
export async function withRetries<T>(
  transient: (error: unknown) => boolean,
  fn: () => Promise<T>,
  { attempts = 4, initialDelayMs = 50, maxDelayMs = 2_000, signal, onRetry }: RetryOptions = {},
): Promise<T> {
  signal?.throwIfAborted();
  const policy = retry(
    handleWhen((error) => signal?.aborted !== true && transient(error)),
    {
      maxAttempts: attempts - 1,
      backoff: new ExponentialBackoff({
        generator: fullJitterGenerator,
        initialDelay: initialDelayMs,
        maxDelay: maxDelayMs,
      }),
    },
  );
  policy.onRetry((event) =>
    onRetry?.({
      attempt: event.attempt,
      delayMs: event.delay,
      error: "error" in event ? event.error : undefined,
    }),
  );
  const running = policy.execute(() => {
    signal?.throwIfAborted();
    return fn();
  });
  // The policy does not notice an abort while it pauses.
  return await untilAborted(running, signal);
}

export interface CircuitBreakerOptions {
  /** The dependency that is guarded; it stands in the error of an open circuit. */
  readonly name: string;
  /** Failures in a row that open the circuit; at least 1. */
  readonly threshold: number;
  /** How long an open circuit refuses before it lets one call try, in milliseconds. */
  readonly halfOpenAfterMs: number;
  /** Which errors say that the dependency is down; default all. Others pass and count for nothing. */
  readonly isFailure?: (error: unknown) => boolean;
  readonly onStateChange?: (state: BreakerState) => void;
}

export type BreakerState = "closed" | "open" | "half_open";

export interface CircuitBreaker {
  readonly name: string;
  readonly state: BreakerState;
  /** Calls `fn`, or throws DependencyUnavailableError at once while the circuit is open. */
  execute<T>(fn: () => Promise<T>): Promise<T>;
}

const stateNames: Readonly<Record<CircuitState, BreakerState>> = {
  [CircuitState.Closed]: "closed",
  [CircuitState.Open]: "open",
  [CircuitState.HalfOpen]: "half_open",
  [CircuitState.Isolated]: "open",
};

/** One per dependency, shared by all its callers: it is their common experience that counts. */
export function circuitBreaker(options: CircuitBreakerOptions): CircuitBreaker {
  const { name, threshold, halfOpenAfterMs, isFailure = () => true, onStateChange } = options;
  const policy = breakerPolicy(handleWhen(isFailure), {
    breaker: new ConsecutiveBreaker(threshold),
    halfOpenAfter: halfOpenAfterMs,
  });
  if (onStateChange !== undefined) {
    policy.onStateChange((state) => onStateChange(stateNames[state]));
  }
  return {
    name,
    get state() {
      return stateNames[policy.state];
    },
    async execute(fn) {
      try {
        return await policy.execute(fn);
      } catch (error) {
        if (!(error instanceof BrokenCircuitError)) throw error;
        throw new DependencyUnavailableError(name, `${name} failed repeatedly and is left alone`);
      }
    },
  };
}
