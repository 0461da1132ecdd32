import type { Interceptor } from "@connectrpc/connect";
import { InvalidRequestError } from "../errors.ts";
import { tenantKey } from "./call-info.ts";
import { headerOf } from "./metadata.ts";

/** Metadata key that names the tenant. */
export const tenantHeader = "x-mahavishnu-tenant";
export const defaultTenant = "default";

const tenantPattern = /^[A-Za-z0-9._-]{1,128}$/;

/** The tenant of a call; `default` where none is named. Throws InvalidRequestError. */
export function parseTenant(value: string | null | undefined): string {
  if (value === null || value === undefined) return defaultTenant;
  if (tenantPattern.test(value)) return value;
  throw new InvalidRequestError([
    { field: tenantHeader, description: "must be 1 to 128 of the characters A-Z a-z 0-9 . _ -" },
  ]);
}

/** Makes the tenant known to the handler and to the call's log line. */
export const tenant: Interceptor = (next) => async (request) => {
  request.contextValues.set(tenantKey, parseTenant(headerOf(request, tenantHeader)));
  return next(request);
};
