import { Code, ConnectError } from "@connectrpc/connect";
import type { Channel, Metadata, StatusObject } from "@grpc/grpc-js";
import { Metadata as GrpcMetadata, status } from "@grpc/grpc-js";
import { canceledError, protocolError, toConnectError } from "./errors.ts";
import { Inbox } from "./inbox.ts";
import { errorOf } from "./status.ts";

/** What both kinds of calls to a peer need. */
export interface ClientCallInit {
  readonly path: string;
  readonly metadata: Metadata;
  /** Milliseconds since the epoch, or Infinity. */
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
}

export interface UnaryResult {
  readonly bytes: Buffer;
  readonly header: Metadata;
  readonly trailer: Metadata;
}

/**
 * After so many requests the event loop gets its turn: grpc-js calls them written before they are,
 * and a source that never waits would fill its buffer, whose cost grows with the square.
 */
const burst = 32;
const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

const noMetadata = new GrpcMetadata();

function open(channel: Channel, { path, deadline, signal }: ClientCallInit) {
  if (signal?.aborted) throw toConnectError(undefined, { signal });
  const call = createCall(channel, path, deadline);
  const cancel = () => call.cancelWithStatus(status.CANCELLED, "the call was cancelled");
  signal?.addEventListener("abort", cancel, { once: true });
  return { call, cancel, forget: () => signal?.removeEventListener("abort", cancel) };
}

function createCall(channel: Channel, path: string, deadline: number) {
  try {
    return channel.createCall(path, deadline, undefined, null, undefined);
  } catch (cause) {
    throw new ConnectError(
      "the transport is closed",
      Code.Unavailable,
      undefined,
      undefined,
      cause,
    );
  }
}

/** A cancellation of ours comes back as the reason that our signal gives. */
function failureOf(result: StatusObject, signal: AbortSignal | undefined): ConnectError {
  return signal?.aborted ? toConnectError(errorOf(result), { signal }) : errorOf(result);
}

/** Sends one message, receives one. Rejects with a ConnectError. */
export function callUnary(
  channel: Channel,
  init: ClientCallInit,
  request: Buffer,
): Promise<UnaryResult> {
  return new Promise((resolve, reject) => {
    const { call, forget } = open(channel, init);
    let bytes: Buffer | undefined;
    let header = noMetadata;
    call.start(init.metadata, {
      onReceiveMetadata: (metadata) => {
        header = metadata;
      },
      onReceiveMessage: (message: Buffer) => {
        bytes = message;
      },
      onReceiveStatus: (result) => {
        forget();
        if (result.code !== status.OK) reject(failureOf(result, init.signal));
        else if (bytes === undefined) reject(protocolError("the response message is missing"));
        else resolve({ bytes, header, trailer: result.metadata });
      },
    });
    call.sendMessageWithContext({}, request);
    call.halfClose();
    call.startRead();
  });
}

/**
 * A call with a stream in either or both directions. Requests are pulled from `requests` as fast as
 * the peer takes them; `responses` asks the peer for more as it is read.
 */
export class ClientStream<T> {
  readonly responses: Inbox<T>;
  /** Resolves when the peer has sent headers or a good end; rejects when the call fails first. */
  readonly header: Promise<Metadata>;
  #trailer = noMetadata;
  #sent: (() => void) | undefined;
  #over = false;
  #failure: unknown;
  readonly #call: ReturnType<typeof open>["call"];

  constructor(
    channel: Channel,
    init: ClientCallInit,
    requests: AsyncIterable<Buffer>,
    decode: (bytes: Buffer) => T,
  ) {
    const { call, forget } = open(channel, init);
    this.#call = call;
    this.responses = new Inbox<T>(
      () => call.startRead(),
      decode,
      () => this.#giveUp(),
    );
    const { promise, resolve, reject } = Promise.withResolvers<Metadata>();
    this.header = promise;
    promise.catch(() => {});
    call.start(init.metadata, {
      onReceiveMetadata: resolve,
      onReceiveMessage: (bytes: Buffer) => this.responses.push(bytes),
      onReceiveStatus: (result) => {
        forget();
        this.#over = true;
        this.#trailer = result.metadata;
        // Nobody will say any more that a message was written.
        this.#sent?.();
        if (result.code === status.OK) {
          resolve(noMetadata);
          this.responses.end();
        } else {
          const error = this.#failure ?? failureOf(result, init.signal);
          reject(error);
          this.responses.fail(error);
        }
      },
    });
    // At once: until the first read grpc-js takes in whatever the peer sends, without a bound.
    this.responses.open();
    void this.#sendAll(requests);
  }

  get trailer(): Metadata {
    return this.#trailer;
  }

  async #sendAll(requests: AsyncIterable<Buffer>): Promise<void> {
    const iterator = requests[Symbol.asyncIterator]();
    try {
      for (let sent = 1; !this.#over; sent++) {
        const step = await iterator.next();
        if (step.done === true) {
          if (!this.#over) this.#call.halfClose();
          return;
        }
        if (this.#over) break;
        await this.#send(step.value);
        if (sent % burst === 0) await nextTurn();
      }
      await iterator.return?.();
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * One at a time, since grpc-js keeps only the last message while it connects. It says "written"
   * early for the first MiB of a call, which it holds for a transparent retry.
   */
  #send(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.#sent = resolve;
      this.#call.sendMessageWithContext({ callback: () => resolve() }, bytes);
    });
  }

  /** What our own side throws while it makes requests ends the call and is what the caller sees. */
  #fail(error: unknown): void {
    if (this.#over) return;
    this.#failure = error instanceof ConnectError ? error : ConnectError.from(error, Code.Canceled);
    this.#call.cancelWithStatus(status.CANCELLED, "the requests failed");
  }

  #giveUp(): void {
    if (this.#over) return;
    this.#failure = canceledError();
    this.#call.cancelWithStatus(status.CANCELLED, "the reader has gone");
  }
}
