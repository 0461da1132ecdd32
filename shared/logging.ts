import { trace } from "@opentelemetry/api";
import { type Logger, pino } from "pino";

export type { Logger } from "pino";

/** Levels that a process can be told to log from. */
export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/**
 * A logger that writes one JSON object a line to standard output: time (RFC 3339), level as a
 * word, service, and trace_id and span_id where a span is active. Payloads are never logged.
 */
export function createLogger(service: string, level: LogLevel = "info"): Logger {
  return pino({
    level,
    base: { service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    mixin: () => {
      const span = trace.getActiveSpan()?.spanContext();
      return span === undefined ? {} : { trace_id: span.traceId, span_id: span.spanId };
    },
    serializers: { err: pino.stdSerializers.errWithCause },
    errorKey: "err",
  });
}

/** A logger that says nothing, for tests. */
export function silentLogger(): Logger {
  return pino({ level: "silent" });
}
