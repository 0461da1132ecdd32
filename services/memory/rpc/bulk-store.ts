import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { InvalidRequestError, Violations } from "../../../shared/errors.ts";
import type {
  BulkStoreRequest,
  BulkStoreResponseSchema,
} from "../../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import type { Logger } from "../../../shared/logging.ts";
import { callContext } from "../../../shared/rpc/call-context.ts";
import { itemError } from "../../../shared/rpc/item-error.ts";
import { toProtoEmbeddingState } from "../convert.ts";
import type { Call } from "../deadline.ts";
import type { BulkOutcome, Memories, MemoryToStore } from "../memories.ts";
import type { MemoryMetrics } from "../metrics.ts";
import { callOf } from "./call.ts";
import { parseMemory } from "./memories.ts";

type Acknowledgement = MessageInitShape<typeof BulkStoreResponseSchema>;

const mostMemories = 1_000;
/** Requests of one stream that are worked on at once; the stream is not read any faster. */
const mostInFlight = 4;

export function bulkStoreHandlers(memories: Memories, metrics: MemoryMetrics, logger: Logger) {
  return {
    /** One acknowledgement per request, after its commit, in the order in which they end. */
    async *bulkStore(
      requests: AsyncIterable<BulkStoreRequest>,
      context: HandlerContext,
    ): AsyncGenerator<Acknowledgement> {
      const call = callOf(context);
      const { stopping } = callContext(context);
      const reader = requests[Symbol.asyncIterator]();
      const inFlight = new Map<symbol, Promise<{ key: symbol; done: Acknowledgement }>>();
      let reading: Promise<IteratorResult<BulkStoreRequest>> | undefined;
      const toldToStop = abortedOnce(stopping);
      let open = true;
      while (open || inFlight.size > 0) {
        if (stopping.aborted) open = false;
        if (open && inFlight.size < mostInFlight) reading ??= reader.next();
        const next = await Promise.race<
          IteratorResult<BulkStoreRequest> | { key: symbol; done: Acknowledgement } | "stopping"
        >([...(open && reading !== undefined ? [reading, toldToStop] : []), ...inFlight.values()]);
        if (next === "stopping") continue;
        if ("key" in next) {
          inFlight.delete(next.key);
          yield next.done;
        } else {
          reading = undefined;
          if (next.done === true) open = false;
          else {
            const key = Symbol();
            const answer = acknowledge(memories, metrics, logger, call, next.value);
            inFlight.set(
              key,
              answer.then((done) => ({ key, done })),
            );
          }
        }
      }
      // A request that arrives from now on is not read, and nobody minds how waiting for it ends.
      reading?.catch(() => {});
      // All that was read is acknowledged; what was not has to be sent to whoever serves next.
      if (stopping.aborted) {
        throw new ConnectError("the server is shutting down", Code.Unavailable);
      }
    },
  };
}

function abortedOnce(signal: AbortSignal): Promise<"stopping"> {
  if (signal.aborted) return Promise.resolve("stopping");
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve("stopping"), { once: true });
  });
}

/** Never rejects: what fails the whole request is told in its acknowledgement. */
async function acknowledge(
  memories: Memories,
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
    const outcomes = await memories.storeMany(call, valid);
    let next = 0;
    const results = parsed.map((one, index) => {
      const outcome: BulkOutcome =
        "refusal" in one
          ? { kind: "refused", error: one.refusal }
          : (outcomes[next++] ?? { kind: "refused", error: new Error("no outcome was told") });
      const type = "refusal" in one ? "agent" : one.memory.memoryType;
      if (outcome.kind === "refused") {
        metrics.stored(type, 1, "failed");
        const error = itemError(outcome.error, undefined, { onUnexpected });
        return { error: { ...error, field: error.field || `memories[${index}]` } };
      }
      metrics.stored(type, 1, "stored");
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
): MemoryToStore | { readonly refusal: InvalidRequestError } {
  const violations = new Violations();
  const parsed = parseMemory(violations, field, memory);
  return violations.list.length === 0
    ? parsed
    : { refusal: new InvalidRequestError(violations.list) };
}
