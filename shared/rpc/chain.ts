import type { Interceptor } from "@connectrpc/connect";
import type { Logger } from "../logging.ts";
import { authentication } from "./authentication.ts";
import { callLog } from "./call-log.ts";
import { deadline } from "./deadline.ts";
import { errorFunnel } from "./error-funnel.ts";
import { tenant } from "./tenant.ts";
import { serverTracing } from "./tracing.ts";

export interface ChainOptions {
  readonly logger: Logger;
  readonly authToken?: string | undefined;
  readonly unaryTimeoutMs: number;
}

/**
 * What every call passes through, outermost first. They are plain Connect interceptors and never
 * look at messages.
 */
export function serverChain({ logger, authToken, unaryTimeoutMs }: ChainOptions): Interceptor[] {
  return [
    // First, so that the span lasts as long as the call and all log lines below carry its id.
    serverTracing,
    // Outside of the funnel, so that line and metrics hold the code that the caller gets; outside
    // of authentication, so that refused calls are seen too.
    callLog(logger),
    // Outside of all that may refuse, so that every refusal gets its code and details here.
    errorFunnel(logger),
    // Before any work: a call whose time is over must not cost anything.
    deadline(unaryTimeoutMs),
    // Before anything that the caller says is believed.
    ...(authToken === undefined ? [] : [authentication(authToken)]),
    // Last, so that only those who may call learn whether a tenant's name is well-formed.
    tenant,
  ];
}
