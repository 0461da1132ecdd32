import { type ConnectError, createContextKey } from "@connectrpc/connect";

/** What the server knows of a call beyond Connect's types; interceptors find it by this key. */
export interface CallInfo {
  /** The caller's address, `host:port`. */
  readonly peer: string;
  /** Milliseconds since the epoch; undefined where the call has no deadline. */
  readonly deadline: number | undefined;
  /** Ends the call with DEADLINE_EXCEEDED after so many milliseconds. */
  limitTo(ms: number): void;
  /** Aborts when the server begins to shut down: endless streams should end then. */
  readonly stopping: AbortSignal;
  /** Why the call is over although its handler may still run; undefined while it goes on. */
  endedBy(): ConnectError | undefined;
}

/** Undefined where the call did not come over the wire, as in tests of handlers. */
export const callInfoKey = createContextKey<CallInfo | undefined>(undefined, {
  description: "call info",
});

/** Whose data the call is about; set by the tenant interceptor. */
export const tenantKey = createContextKey<string | undefined>(undefined, {
  description: "tenant",
});

/** A name for this call in logs and at peers; set when it is first asked for. */
export const requestIdKey = createContextKey<string | undefined>(undefined, {
  description: "request id",
});
