import type { Interceptor } from "@connectrpc/connect";
import { trace } from "@opentelemetry/api";
import type { Logger } from "../logging.ts";
import { type FunnelContext, toConnectError } from "./errors.ts";
import type { AnyRequest } from "./hosted-method.ts";
import { whenEnded } from "./stream-end.ts";

/** Turns all that is thrown into statuses; what nobody expected is logged with its stack. */
export function errorFunnel(logger: Logger): Interceptor {
  return (next) => async (request) => {
    const funnel = (error: unknown) => toConnectError(error, contextOf(request, logger));
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return whenEnded(response, endlessReason, (error) =>
        error === undefined ? undefined : funnel(error),
      );
    } catch (error) {
      throw funnel(error);
    }
  };
}

/** Nothing to convert where the reader of a stream has gone. */
const endlessReason = () => undefined;

function contextOf(request: AnyRequest, logger: Logger): FunnelContext {
  return {
    signal: request.signal,
    traceId: trace.getActiveSpan()?.spanContext().traceId,
    onUnexpected: (err) =>
      logger.error({ err, rpc: `${request.service.typeName}/${request.method.name}` }, "failed"),
  };
}
