import { type CircuitBreaker, circuitBreaker } from "../../shared/resilience.ts";
import {
  ProviderStatusError,
  ProviderTimeoutError,
  ProviderUnreachableError,
} from "./provider-call.ts";

/** The provider fails even for a harmless text. */
export class ProviderDownError extends Error {
  override readonly name = "ProviderDownError";

  constructor(cause: unknown) {
    super("the provider fails for a harmless text", { cause });
  }
}

/** Whoever asked has gone; nothing was learnt of the provider. */
export class AbandonedRequestError extends Error {
  override readonly name = "AbandonedRequestError";

  constructor(cause: unknown) {
    super("nobody waits for the answer any more", { cause });
  }
}

export interface ProviderCircuitOptions {
  /** Failures in a row that open the circuit. Default 8: two rounds of four requests. */
  readonly threshold?: number;
  /** How long the provider is left alone before one request may try. Default 2,000 ms. */
  readonly halfOpenAfterMs?: number;
  readonly onStateChange?: (state: CircuitBreaker["state"]) => void;
}

/**
 * The breaker of one provider. It opens for what says that the provider is down, and not for a
 * server error that one text may have caused: a caller with poisonous texts must not cut off others.
 */
export function providerCircuit(
  provider: string,
  { threshold = 8, halfOpenAfterMs = 2_000, onStateChange }: ProviderCircuitOptions = {},
): CircuitBreaker {
  const breaker: CircuitBreaker = circuitBreaker({
    name: provider,
    threshold,
    halfOpenAfterMs,
    isFailure: (error) =>
      error instanceof ProviderUnreachableError ||
      error instanceof ProviderTimeoutError ||
      error instanceof ProviderDownError ||
      (error instanceof ProviderStatusError && [502, 503, 504].includes(error.status)) ||
      // A trial that was given up proves nothing, so the circuit stays open.
      (error instanceof AbandonedRequestError && breaker.state === "half_open"),
    ...(onStateChange === undefined ? {} : { onStateChange }),
  });
  return breaker;
}
