import type { CallOptions, ContextValues, HandlerContext } from "@connectrpc/connect";
import { newId } from "../ids.ts";
import { callInfoKey, requestIdKey, tenantKey } from "./call-info.ts";
import { parseTenant, tenantHeader } from "./tenant.ts";

/** Metadata key under which a call's name travels from service to service. */
export const requestIdHeader = "x-request-id";

const requestIdPattern = /^[A-Za-z0-9._-]{1,128}$/;
const never = new AbortController().signal;

/** What a handler's domain needs to know of the call it works for. */
export interface CallContext {
  /** Whose data this is about; `default` where the caller named none. */
  readonly tenant: string;
  /** Aborts when the caller cancels, the deadline passes, or the call is over. */
  readonly signal: AbortSignal;
  /** When the caller stops waiting; undefined where it waits for ever. */
  readonly deadline: Date | undefined;
  /** The caller's `x-request-id` where it is 1 to 128 of `[A-Za-z0-9._-]`, else a new id. */
  readonly requestId: string;
  /** Aborts when the server begins to shut down: a stream without an end should end then. */
  readonly stopping: AbortSignal;
}

/**
 * Throws InvalidRequestError where the tenant's name is malformed. All but the tenant is made when it
 * is asked for: most calls need two of the five.
 */
export function callContext(context: HandlerContext): CallContext {
  return {
    tenant: tenantOf(context),
    get signal() {
      return context.signal;
    },
    get deadline() {
      const timeoutMs = context.timeoutMs();
      return timeoutMs === undefined ? undefined : new Date(Date.now() + timeoutMs);
    },
    get requestId() {
      return requestIdOf(context.values, context.requestHeader);
    },
    get stopping() {
      return context.values.get(callInfoKey)?.stopping ?? never;
    },
  };
}

/** Work that no incoming call asked for, such as that of a background worker. */
export interface CallOrigin {
  readonly tenant: string;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds from now. */
  readonly timeoutMs?: number | undefined;
  readonly requestId?: string | undefined;
}

/**
 * Options for a call to a peer on behalf of this one: the tenant, the request id, the trace, the
 * abort signal and the remaining time. `shareOfDeadline` (above 0, at most 1, default 1) leaves
 * time to answer with something else when the peer is late.
 */
export function outgoing(
  context: HandlerContext | CallOrigin,
  { shareOfDeadline = 1 }: { readonly shareOfDeadline?: number } = {},
): CallOptions {
  const headers: Record<string, string> = {};
  let remaining: number | undefined;
  if ("requestHeader" in context) {
    headers[tenantHeader] = tenantOf(context);
    headers[requestIdHeader] = requestIdOf(context.values, context.requestHeader);
    // Where this process records spans of its own, the client's tracing replaces these.
    for (const key of ["traceparent", "tracestate"]) {
      const value = context.requestHeader.get(key);
      if (value !== null) headers[key] = value;
    }
    remaining = context.timeoutMs();
  } else {
    headers[tenantHeader] = context.tenant;
    if (context.requestId !== undefined) headers[requestIdHeader] = context.requestId;
    remaining = context.timeoutMs;
  }
  return {
    headers,
    ...(context.signal === undefined ? {} : { signal: context.signal }),
    ...(remaining === undefined
      ? {}
      : { timeoutMs: Math.max(1, Math.floor(remaining * shareOfDeadline)) }),
  };
}

function tenantOf(context: HandlerContext): string {
  return context.values.get(tenantKey) ?? parseTenant(context.requestHeader.get(tenantHeader));
}

/** The call's name: the caller's where that is well-formed, else a new one, the same ever after. */
export function requestIdOf(values: ContextValues, header: Headers): string {
  const known = values.get(requestIdKey);
  if (known !== undefined) return known;
  const given = header.get(requestIdHeader);
  const id = given !== null && requestIdPattern.test(given) ? given : newId();
  values.set(requestIdKey, id);
  return id;
}
