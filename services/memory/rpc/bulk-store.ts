import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { DomainError, InvalidRequestError, Violations } from "../../../shared/errors.ts";
import type {
  BulkStoreRequest,
  BulkStoreResponseSchema,
} from "../../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import type { Logger } from "../../../shared/logging.ts";
import { callContext } from "../../../shared/rpc/call-context.ts";
import { itemError } from "../../../shared/rpc/item-error.ts";
import { memoryTypeOf, toProtoEmbeddingState } from "../convert.ts";
import type { Call } from "../deadline.ts";
import type { BulkOutcome, Memories, MemoryToStore } from "../memories.ts";
import type { CountedType, MemoryMetrics } from "../metrics.ts";
import { callOf } from "./call.ts";
import { EventQueue } from "./event-queue.ts";
import { parseMemory } from "./memories.ts";

type Acknowledgement = MessageInitShape<typeof BulkStoreResponseSchema>;

const mostMemories = 1_000;
/** Requests of one stream that are worked on at once; the stream is not read any faster. */
const mostInFlight = 4;

type Event =
  | { readonly kind: "request"; readonly next: IteratorResult<BulkStoreRequest> }
  | { readonly kind: "stored"; readonly acknowledgement: Acknowledgement }
  | { readonly kind: "failed"; readonly error: unknown }
  | { readonly kind: "stopping" };

/** A memory that is not valid, by the type that it says. */
interface Refused {
  readonly type: CountedType;
  readonly refusal: InvalidRequestError;
}

export function bulkStoreHandlers(
  memories: Pick<Memories, "storeMany">,
  metrics: MemoryMetrics,
  logger: Logger,
) {
  return {
    bulkStore(requests: AsyncIterable<BulkStoreRequest>, context: HandlerContext) {
      const call = callOf(context);
      const { stopping } = callContext(context);
      return bulkStore(requests, {
        signal: call.signal,
        stopping,
        store: (request, signal) =>
          acknowledge(memories, metrics, logger, { ...call, signal }, request),
      });
    },
  };
}

export interface BulkStoreOptions {
  /** Aborts when the call is over. */
  readonly signal: AbortSignal;
  /** Aborts when the server begins to stop; shared by all of its calls. */
  readonly stopping: AbortSignal;
  /** Never rejects: what fails the whole request is told in its acknowledgement. */
  readonly store: (request: BulkStoreRequest, signal: AbortSignal) => Promise<Acknowledgement>;
}

/**
 * One acknowledgement per request, after its commit, in the order in which they end. When the
 * server stops, what was read is acknowledged, and then the stream ends with UNAVAILABLE.
 */
export async function* bulkStore(
  requests: AsyncIterable<BulkStoreRequest>,
  { signal, stopping, store }: BulkStoreOptions,
): AsyncGenerator<Acknowledgement> {
  const over = new AbortController();
  const storing = AbortSignal.any([signal, over.signal]);
  const events = new EventQueue<Event>();
  const onStopping = () => events.push({ kind: "stopping" });
  if (stopping.aborted) onStopping();
  else stopping.addEventListener("abort", onStopping, { once: true });
  const reader = requests[Symbol.asyncIterator]();
  let inFlight = 0;
  let reading = false;
  let open = true;
  try {
    while (open || inFlight > 0) {
      if (open && !reading && inFlight < mostInFlight) {
        reading = true;
        reader.next().then(
          (next) => events.push({ kind: "request", next }),
          (error) => events.push({ kind: "failed", error }),
        );
      }
      const event = await events.next();
      switch (event.kind) {
        case "request":
          reading = false;
          if (event.next.done === true) open = false;
          // What arrives after the end was announced is not stored: it is not acknowledged either.
          else if (open) {
            inFlight += 1;
            store(event.next.value, storing).then(
              (acknowledgement) => events.push({ kind: "stored", acknowledgement }),
              (error) => events.push({ kind: "failed", error }),
            );
          }
          break;
        case "stored":
          inFlight -= 1;
          yield event.acknowledgement;
          break;
        case "failed":
          // A stream that breaks off while we end it is no failure: what was read is still told.
          if (open) throw event.error;
          break;
        case "stopping":
          open = false;
          break;
      }
    }
    if (stopping.aborted) throw stoppingError();
  } finally {
    stopping.removeEventListener("abort", onStopping);
    over.abort();
  }
}

function stoppingError(): DomainError {
  const message = "the server is stopping: send what was not acknowledged to another one";
  return new DomainError("unavailable", "DEPENDENCY_UNAVAILABLE", message, {
    facts: { dependency: "memory" },
    retryAfterMs: 1_000,
  });
}

/** Never rejects: what fails the whole request is told in its acknowledgement. */
async function acknowledge(
  memories: Pick<Memories, "storeMany">,
  metrics: MemoryMetrics,
  logger: Logger,
  call: Call,
  { sequence, memories: told }: BulkStoreRequest,
): Promise<Acknowledgement> {
  const onUnexpected = (err: unknown) => logger.error({ err }, "bulk store failed");
  try {
    if (told.length < 1 || told.length > mostMemories) {
      throw new InvalidRequestError([
        { field: "memories", description: `must be 1 to ${mostMemories}, not ${told.length}` },
      ]);
    }
    const parsed = told.map((memory, index) => parseItem(memory, `memories[${index}]`));
    const valid = parsed.filter((one): one is MemoryToStore => !("refusal" in one));
    for (const one of parsed) if ("refusal" in one) metrics.refused(one.type);
    const types = valid.map(({ memory }) => memory.memoryType);
    const outcomes = await metrics.storingMany(types, () => memories.storeMany(call, valid));
    let next = 0;
    const results = parsed.map((one, index) => {
      const outcome: BulkOutcome =
        "refusal" in one
          ? { kind: "refused", error: one.refusal }
          : (outcomes[next++] ?? { kind: "refused", error: new Error("no outcome was told") });
      if (outcome.kind === "refused") {
        const error = itemError(outcome.error, undefined, { onUnexpected });
        return { error: { ...error, field: error.field || `memories[${index}]` } };
      }
      const { id, deduplicated, embedding } = outcome;
      return { id, deduplicated, embeddingState: toProtoEmbeddingState(embedding) };
    });
    return { sequence, results };
  } catch (error) {
    return { sequence, error: itemError(error, undefined, { signal: call.signal, onUnexpected }) };
  }
}

function parseItem(
  memory: BulkStoreRequest["memories"][number],
  field: string,
): MemoryToStore | Refused {
  const violations = new Violations();
  const parsed = parseMemory(violations, field, memory);
  return violations.list.length === 0
    ? parsed
    : {
        type: memoryTypeOf(memory.memoryType) ?? "unknown",
        refusal: new InvalidRequestError(violations.list),
      };
}
