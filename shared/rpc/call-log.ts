import { ConnectError, type Interceptor } from "@connectrpc/connect";
import { status } from "@grpc/grpc-js";
import { metrics } from "@opentelemetry/api";
import type { Logger } from "../logging.ts";
import { requestIdOf } from "./call-context.ts";
import { callInfoKey, tenantKey } from "./call-info.ts";
import type { AnyRequest } from "./hosted-method.ts";
import { whenEnded } from "./stream-end.ts";

/** Unary calls above this are worth a line in production. */
const slowMs = 1_000;

/** Codes that mean a fault of ours; all others are the caller's, a peer's, or agreed upon. */
const faults = new Set(["INTERNAL", "UNKNOWN", "DATA_LOSS"]);

/**
 * One line a call: method, code, duration, peer, tenant, request id; never a payload. Faults and slow calls
 * at info, all others at debug. The same figures go into the histogram `rpc.server.duration`.
 */
export function callLog(logger: Logger): Interceptor {
  const duration = metrics.getMeter("mahavishnu.rpc").createHistogram("rpc.server.duration", {
    unit: "ms",
    description: "Duration of served calls",
  });
  return (next) => async (request) => {
    const started = performance.now();
    const info = request.contextValues.get(callInfoKey);
    const ended = (error?: unknown) => {
      const ms = performance.now() - started;
      const code = codeOf(error ?? info?.endedBy());
      duration.record(ms, {
        "rpc.service": request.service.typeName,
        "rpc.method": request.method.name,
        "rpc.grpc.status": code,
      });
      const level = faults.has(code) || (!request.stream && ms > slowMs) ? "info" : "debug";
      if (logger.isLevelEnabled(level)) logger[level](lineOf(request, code, ms), "call");
    };
    try {
      return whenEnded(await next(request), () => info?.endedBy(), ended);
    } catch (error) {
      ended(error);
      throw error;
    }
  };
}

function lineOf(request: AnyRequest, code: string, ms: number) {
  return {
    rpc: `${request.service.typeName}/${request.method.name}`,
    code,
    duration_ms: Math.round(ms * 100) / 100,
    peer: request.contextValues.get(callInfoKey)?.peer,
    tenant: request.contextValues.get(tenantKey),
    request_id: requestIdOf(request.contextValues, request.header),
  };
}

function codeOf(error: unknown): string {
  if (error === undefined) return "OK";
  return (error instanceof ConnectError ? status[error.code] : undefined) ?? "UNKNOWN";
}
