import { SpanStatusCode, trace } from "@opentelemetry/api";
import { DomainError, type ErrorKind } from "../../shared/errors.ts";

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

/** The names by which the conventions tell whose memory it is. */
export const ownStore = {
  "gen_ai.provider.name": "mahavishnu",
  "gen_ai.memory.store.id": "postgresql",
} as const;

/**
 * A span around an operation on memories; the calls that it makes to peers are its children.
 * `countOf` tells how many memories it was about, where only the result does.
 */
export async function inMemorySpan<T>(
  operation: MemoryOperation,
  attributes: Readonly<Record<string, string | number>>,
  work: () => Promise<T>,
  countOf?: (result: T) => number,
): Promise<T> {
  const all = { "gen_ai.operation.name": operation, ...ownStore, ...attributes };
  const tracer = trace.getTracer("mahavishnu.memory");
  return await tracer.startActiveSpan(operation, { attributes: all }, async (span) => {
    try {
      const result = await work();
      if (countOf !== undefined) span.setAttribute("gen_ai.memory.record.count", countOf(result));
      return result;
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
