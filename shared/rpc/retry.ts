import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "../gen/google/rpc/error_details_pb.js";
import { sleep } from "../lifecycle.ts";

export interface RetryOptions {
  /** Including the first; 1 means no retry. Default 3. */
  readonly maxAttempts?: number;
  /** The first pause is a random part of this, later ones of twice the one before. Default 50. */
  readonly initialBackoffMs?: number;
  /** Default 1,000. */
  readonly maxBackoffMs?: number;
}

/**
 * A budget shared by all calls of a channel, as gRPC's retryThrottling: every UNAVAILABLE takes
 * one token, every success gives a tenth back, and below half nothing is retried. So a peer that
 * is down is not hit three times as hard.
 */
export class RetryBudget {
  static readonly capacity = 10;
  #tokens = RetryBudget.capacity;

  succeeded(): void {
    this.#tokens = Math.min(RetryBudget.capacity, this.#tokens + 0.1);
  }

  failed(): void {
    this.#tokens = Math.max(0, this.#tokens - 1);
  }

  get allows(): boolean {
    return this.#tokens > RetryBudget.capacity / 2;
  }
}

/** Only what the contract declares free of (further) effects may be sent twice. */
export function isRetryable(method: DescMethod): boolean {
  return (
    method.idempotency === Idempotency.NO_SIDE_EFFECTS ||
    method.idempotency === Idempotency.IDEMPOTENT
  );
}

/**
 * Runs a call again when it ends in UNAVAILABLE: with growing, random pauses, within the budget
 * and before the deadline (milliseconds since the epoch). Written here because grpc-js takes its
 * retry policy per channel and by name, while a transport learns its methods call by call.
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  budget: RetryBudget,
  { maxAttempts = 3, initialBackoffMs = 50, maxBackoffMs = 1_000 }: RetryOptions,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  for (let made = 1; ; made++) {
    try {
      const result = await attempt();
      budget.succeeded();
      return result;
    } catch (error) {
      if (!(error instanceof ConnectError) || error.code !== Code.Unavailable) throw error;
      budget.failed();
      const ceiling = Math.min(maxBackoffMs, initialBackoffMs * 2 ** (made - 1));
      const pause = askedFor(error) ?? Math.random() * ceiling;
      if (made >= maxAttempts || !budget.allows || Date.now() + pause >= deadline) throw error;
      try {
        await sleep(pause, signal);
      } catch {
        throw error;
      }
    }
  }
}

/** The pause that the peer asked for by RetryInfo. */
function askedFor(error: ConnectError): number | undefined {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay === undefined ? undefined : Number(delay.seconds) * 1_000 + delay.nanos / 1_000_000;
}
