import {
  context,
  type DiagLogFunction,
  DiagLogLevel,
  diag,
  metrics,
  propagation,
  trace,
} from "@opentelemetry/api";
import type { Logger } from "./logging.ts";
import { version as buildVersion } from "./version.ts";

export interface TelemetryOptions {
  /** The process's name; `service.name` of all that it sends, whatever OTEL_SERVICE_NAME says. */
  readonly service: string;
  /** Default: the version of this build. */
  readonly version?: string;
  /** Where traces and metrics go; without one nothing is sent and the SDK is not loaded. */
  readonly otlpEndpoint?: string | undefined;
  /** Told when sending fails; the same failure at most once a minute. Default: nobody is. */
  readonly logger?: Logger;
  /** How long the last flush may take, in milliseconds; default 3,000. */
  readonly flushTimeoutMs?: number;
}

const sameFailureMs = 60_000;
const mostFailuresKept = 100;

/**
 * Starts tracing and metrics for this process. Disposing flushes within a bound and never throws:
 * a lost span is no reason to fail a shutdown.
 *
 * Without an endpoint only the trace context is kept and passed on: a caller's trace id then stands
 * in the logs of every process that its call goes through.
 *
 * With an endpoint the SDK decides by the standard OTEL_* variables how it is sent: protocol
 * (http/protobuf by default, or grpc), headers, intervals, sampling.
 */
export async function startTelemetry(options: TelemetryOptions): Promise<AsyncDisposable> {
  const stop =
    options.otlpEndpoint === undefined
      ? await keepTraceContext()
      : await startSdk({ ...options, otlpEndpoint: options.otlpEndpoint });
  return {
    async [Symbol.asyncDispose]() {
      await stop();
      trace.disable();
      metrics.disable();
      propagation.disable();
      context.disable();
      diag.disable();
    },
  };
}

type Stop = () => Promise<void>;

async function keepTraceContext(): Promise<Stop> {
  const [{ AsyncLocalStorageContextManager }, { W3CTraceContextPropagator }] = await Promise.all([
    import("@opentelemetry/context-async-hooks"),
    import("@opentelemetry/core"),
  ]);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  return async () => {};
}

async function startSdk({
  service,
  version = buildVersion,
  otlpEndpoint,
  logger,
  flushTimeoutMs = 3_000,
}: TelemetryOptions & { readonly otlpEndpoint: string }): Promise<Stop> {
  const [{ NodeSDK }, resources] = await Promise.all([
    import("@opentelemetry/sdk-node"),
    import("@opentelemetry/resources"),
  ]);
  if (logger !== undefined) reportFailures(logger);
  // The SDK's exporters read their endpoint from nowhere else.
  process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = otlpEndpoint;
  const sdk = new NodeSDK({
    serviceName: service,
    resource: resources.resourceFromAttributes({
      "service.namespace": "mahavishnu",
      "service.version": version,
      "process.pid": process.pid,
    }),
    // The detectors of host and process send the command line and the user's name; not these.
    resourceDetectors: [resources.envDetector, resources.serviceInstanceIdDetector],
    instrumentations: [],
    // Logs go to standard output only.
    logRecordProcessors: [],
  });
  sdk.start();
  return () => flush(sdk, flushTimeoutMs, logger);
}

async function flush(
  sdk: { shutdown(): Promise<void> },
  timeoutMs: number,
  logger: Logger | undefined,
): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Error(`not flushed within ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    await Promise.race([sdk.shutdown(), late.promise]);
  } catch (error) {
    logger?.warn({ err: error }, "the last telemetry was not sent");
  } finally {
    clearTimeout(timer);
  }
}

function reportFailures(logger: Logger): void {
  const lastSaid = new Map<string, number>();
  const warn: DiagLogFunction = (message) => {
    const failure = summary(message);
    const now = performance.now();
    if (now - (lastSaid.get(failure) ?? -sameFailureMs) < sameFailureMs) return;
    // Failures whose wording changes every time must not pile up.
    if (lastSaid.size >= mostFailuresKept) lastSaid.clear();
    lastSaid.set(failure, now);
    logger.warn({ failure }, "telemetry");
  };
  const ignore = () => {};
  diag.setLogger(
    { error: warn, warn, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}

/** The SDK reports an exporter's error as JSON with its stack; a line is enough here. */
function summary(message: string): string {
  try {
    const { message: inner, name } = JSON.parse(message) as Record<string, unknown>;
    if (typeof inner === "string") return `${String(name ?? "Error")}: ${inner}`;
  } catch {
    // Plain text.
  }
  return message.split("\n", 1)[0] ?? message;
}
