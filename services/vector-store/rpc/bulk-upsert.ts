import type { MessageInitShape } from "@bufbuild/protobuf";
import { DomainError, InvalidRequestError } from "../../../shared/errors.ts";
import type {
  BulkUpsertRequest,
  BulkUpsertResponseSchema,
} from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { itemError } from "../../../shared/rpc/item-error.ts";
import { defaultCollection } from "../collection.ts";
import type { DocumentStore } from "../store.ts";
import { upsert } from "./upsert.ts";

export interface BulkUpsertOptions {
  readonly store: DocumentStore;
  readonly tenant: string;
  /** Requests of one stream that are written at the same time, 1 or more. */
  readonly inFlight: number;
  /** Aborts when the call is over. */
  readonly signal: AbortSignal;
  /** Aborts when the server begins to stop. */
  readonly stopping: AbortSignal;
  /** Receives errors that are faults of ours. */
  readonly onUnexpected: (error: unknown) => void;
}

type Acknowledgement = MessageInitShape<typeof BulkUpsertResponseSchema>;
type Event =
  | { readonly kind: "request"; readonly next: IteratorResult<BulkUpsertRequest> }
  | { readonly kind: "written"; readonly acknowledgement: Acknowledgement }
  | { readonly kind: "failed"; readonly error: unknown }
  | { readonly kind: "stopping" };

/**
 * Writes each request in a transaction of its own and acknowledges it after its commit. A request
 * is read only while fewer than `inFlight` are being written and the caller takes its
 * acknowledgements, so that memory holds that many requests however fast they come. When the
 * caller is done, what is in flight is acknowledged first; when the server stops, too, and then
 * the stream ends with UNAVAILABLE.
 */
export async function* bulkUpsert(
  requests: AsyncIterable<BulkUpsertRequest>,
  options: BulkUpsertOptions,
): AsyncGenerator<Acknowledgement> {
  const call = new AbortController();
  const signal = AbortSignal.any([options.signal, call.signal]);
  const events = new Events();
  const onStopping = () => events.push({ kind: "stopping" });
  if (options.stopping.aborted) onStopping();
  options.stopping.addEventListener("abort", onStopping, { once: true, signal: call.signal });

  const input = requests[Symbol.asyncIterator]();
  const writing = new Set<Promise<void>>();
  let unacknowledged = 0;
  let reading = false;
  let open = true;
  let collection: string | undefined;
  try {
    while (open || unacknowledged > 0) {
      if (open && !reading && unacknowledged < options.inFlight) {
        reading = true;
        events.follow(input.next().then((next) => ({ kind: "request", next })));
      }
      const event = await events.next();
      switch (event.kind) {
        case "request":
          reading = false;
          if (event.next.done) {
            open = false;
          } else {
            const request = event.next.value;
            collection ??= request.collection || defaultCollection;
            const written = events.follow(write(request, collection, { ...options, signal }));
            unacknowledged += 1;
            writing.add(written);
            written.then(() => writing.delete(written));
          }
          break;
        case "written":
          unacknowledged -= 1;
          yield event.acknowledgement;
          break;
        case "failed":
          throw event.error;
        case "stopping":
          open = false;
          break;
      }
    }
    if (options.stopping.aborted) throw stoppingError();
  } finally {
    // Whatever is still being written has nobody to tell: it is rolled back.
    call.abort();
    await Promise.allSettled(writing);
  }
}

/** What happened and was not yet looked at; several sources, one reader. */
class Events {
  readonly #queue: Event[] = [];
  #wake: (() => void) | undefined;

  push(event: Event): void {
    this.#queue.push(event);
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Pushes what a promise brings, its failure too; the result never rejects. */
  follow(event: Promise<Event>): Promise<void> {
    return event.then(
      (one) => this.push(one),
      (error) => this.push({ kind: "failed", error }),
    );
  }

  async next(): Promise<Event> {
    for (;;) {
      const event = this.#queue.shift();
      if (event !== undefined) return event;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

async function write(
  request: BulkUpsertRequest,
  collection: string,
  { store, tenant, signal, onUnexpected }: BulkUpsertOptions,
): Promise<Event> {
  const { sequence } = request;
  try {
    if (request.collection !== "" && request.collection !== collection) {
      const description = "must be empty or that of the stream's first message";
      throw new InvalidRequestError([{ field: "collection", description }]);
    }
    const results = await upsert(store, tenant, { ...request, collection }, signal);
    return { kind: "written", acknowledgement: { sequence, results } };
  } catch (error) {
    if (signal.aborted) throw error;
    const refusal = itemError(error, undefined, { onUnexpected });
    return { kind: "written", acknowledgement: { sequence, error: refusal } };
  }
}

function stoppingError(): DomainError {
  const message = "the server is stopping: send what was not acknowledged to another one";
  return new DomainError("unavailable", "DEPENDENCY_UNAVAILABLE", message, {
    facts: { dependency: "vector-store" },
    retryAfterMs: 1_000,
  });
}
