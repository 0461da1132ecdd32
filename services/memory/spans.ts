import { SpanStatusCode, trace } from "@opentelemetry/api";
import { DomainError, type ErrorKind } from "../../shared/errors.ts";

const tracer = trace.getTracer("mahavishnu.memory");

/** Operations on memories, by the names of OpenTelemetry's conventions for generative AI. */
export type MemoryOperation = "create_memory" | "update_memory" | "delete_memory";

/** What the caller did is no fault of ours. */
const callersFaults: ReadonlySet<ErrorKind> = new Set([
  "invalid_argument",
  "not_found",
  "already_exists",
  "failed_precondition",
  "aborted",
  "canceled",
]);

/** A span around an operation on memories; the calls that it makes to peers are its children. */
export async function inMemorySpan<T>(
  operation: MemoryOperation,
  attributes: Readonly<Record<string, string | number>>,
  work: () => Promise<T>,
): Promise<T> {
  const all = { "gen_ai.operation.name": operation, ...attributes };
  return await tracer.startActiveSpan(operation, { attributes: all }, async (span) => {
    try {
      return await work();
    } catch (error) {
      const reason = error instanceof DomainError ? error.reason : "INTERNAL";
      span.setAttribute("error.type", reason);
      const ours = !(error instanceof DomainError) || !callersFaults.has(error.kind);
      if (ours) span.setStatus({ code: SpanStatusCode.ERROR });
      throw error;
    } finally {
      span.end();
    }
  });
}
