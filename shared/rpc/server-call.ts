import type { DescMethod, DescService } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  createContextValues,
  type HandlerContext,
} from "@connectrpc/connect";
import { Metadata, type ServerInterceptingCallInterface, status } from "@grpc/grpc-js";
import { type CallInfo, callInfoKey } from "./call-info.ts";
import { canceledError, deadlineError, toConnectError } from "./errors.ts";
import type { AnyNext, AnyResponse, HostedRequest } from "./hosted-method.ts";
import { addHeaders, headersOf, metadataValue } from "./metadata.ts";
import { statusOf } from "./status.ts";

/** A method as the server hosts it. */
export interface HostedMethod {
  readonly service: DescService;
  readonly method: DescMethod;
  readonly path: string;
  readonly run: AnyNext;
  readonly maxMessageBytes: number;
}

/** What all calls of one server share. */
export interface ServerScope {
  readonly inFlight: Set<ServerCall>;
  readonly stopping: AbortSignal;
}

/**
 * One call: the handler's context and the interceptors' request in one object, on top of grpc-js's
 * listener interface. Headers, signal and context values are made when first asked for, since
 * most calls need few of them.
 */
export abstract class ServerCall implements HandlerContext {
  abstract readonly stream: boolean;
  abstract readonly message: unknown;

  readonly service: DescService;
  readonly method: DescMethod;
  readonly requestMethod = "POST";
  readonly protocolName = "grpc";
  readonly url: string;
  protected readonly hosted: HostedMethod;
  protected readonly wire: ServerInterceptingCallInterface;
  readonly #scope: ServerScope;
  #metadata: Metadata | undefined;
  #deadline: number;
  #timer: NodeJS.Timeout | undefined;
  #controller: AbortController | undefined;
  #abortReason: ConnectError | undefined;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #values: ContextValues | undefined;
  #headersSent = false;
  #over = false;

  constructor(hosted: HostedMethod, wire: ServerInterceptingCallInterface, scope: ServerScope) {
    this.hosted = hosted;
    this.wire = wire;
    this.service = hosted.service;
    this.method = hosted.method;
    this.url = hosted.path;
    this.#scope = scope;
    this.#deadline = Number(wire.getDeadline());
  }

  // --- what handlers and interceptors see ---

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#over) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  timeoutMs(): number | undefined {
    return this.#deadline === Infinity ? undefined : this.#deadline - Date.now();
  }

  get requestHeader(): Headers {
    this.#requestHeader ??= headersOf(this.#metadata);
    return this.#requestHeader;
  }

  get header(): Headers {
    return this.requestHeader;
  }

  /** Most calls need two of their headers, and making them all costs more than the rest of them. */
  headerValue(key: string): string | null {
    // Once they are made, an interceptor may have changed them.
    return this.#requestHeader === undefined
      ? metadataValue(this.#metadata, key)
      : this.#requestHeader.get(key);
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  get values(): ContextValues {
    if (this.#values === undefined) {
      this.#values = createContextValues();
      this.#values.set(callInfoKey, this.#info());
    }
    return this.#values;
  }

  get contextValues(): ContextValues {
    return this.values;
  }

  #info(): CallInfo {
    return {
      peer: this.wire.getPeer(),
      deadline: this.#deadline === Infinity ? undefined : this.#deadline,
      limitTo: (ms) => this.#limitTo(ms),
      stopping: this.#scope.stopping,
      endedBy: () => (this.#over ? this.#abortReason : undefined),
    };
  }

  #limitTo(ms: number): void {
    if (this.#over) return;
    this.#deadline = Math.min(this.#deadline, Date.now() + ms);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.abort(deadlineError()), ms);
  }

  // --- what the wire tells us ---

  /** Tells the wire who listens; the call begins. */
  start(): void {
    this.wire.start({
      onReceiveMetadata: (metadata) => {
        this.#metadata = metadata;
        this.#scope.inFlight.add(this);
        this.onStart();
      },
      onReceiveMessage: (bytes: Buffer) => this.onMessage(bytes),
      onReceiveHalfClose: () => this.onHalfClose(),
      onCancel: () => this.#onCancel(),
    });
  }

  protected abstract onStart(): void;
  protected abstract onMessage(bytes: Buffer): void;
  protected abstract onHalfClose(): void;
  /** The call is over, by whatever way: let go of everything that waits. */
  protected abstract onOver(reason: ConnectError): void;

  /** The peer reset the stream, the connection broke, or grpc-js itself has sent a status. */
  #onCancel(): void {
    if (this.#over) return;
    const late = Date.now() >= this.#deadline - timerSlackMs;
    this.#finish(late ? deadlineError() : canceledError());
  }

  // --- what we tell the wire ---

  get over(): boolean {
    return this.#over;
  }

  protected runChain(): Promise<AnyResponse> {
    return this.hosted.run(this as unknown as HostedRequest);
  }

  protected send(bytes: Buffer, written: () => void): void {
    this.#sendHeaders();
    this.wire.sendMessage(bytes, written);
  }

  protected succeed(): void {
    if (this.#over) return;
    // Without any message the headers would be lost in a response of trailers only.
    this.#sendHeaders();
    const metadata = this.#trailers();
    this.wire.sendStatus({ code: status.OK, details: "OK", metadata });
    this.#finish(callEnded);
  }

  /** Ends the call with an error; messages sent before it still arrive. */
  fail(error: unknown): void {
    if (this.#over) return;
    // Normally a ConnectError already, made by the error interceptor.
    const failure = toConnectError(error);
    let answer: ReturnType<typeof statusOf>;
    try {
      if (this.#responseHeader !== undefined) this.#sendHeaders();
      answer = statusOf(failure, this.#trailers());
    } catch {
      // Headers or trailers that gRPC cannot carry must not hide the error.
      answer = statusOf(new ConnectError(failure.rawMessage, failure.code));
    }
    this.wire.sendStatus(answer);
    this.#finish(failure);
  }

  /** Ends the call from outside of its handler, which learns of it by the signal. */
  abort(reason: ConnectError): void {
    this.fail(reason);
  }

  #trailers(): Metadata {
    const metadata = new Metadata();
    return this.#responseTrailer === undefined
      ? metadata
      : addHeaders(metadata, this.#responseTrailer);
  }

  #sendHeaders(): void {
    if (this.#headersSent || this.#responseHeader === undefined) return;
    const metadata = addHeaders(new Metadata(), this.#responseHeader);
    this.#headersSent = true;
    this.wire.sendMetadata(metadata);
  }

  #finish(reason: ConnectError): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#scope.inFlight.delete(this);
    this.#abortReason = reason;
    this.onOver(reason);
    this.#controller?.abort(reason);
  }
}

/** A caller whose time is over resets the call, about when our own timer would end it. */
const timerSlackMs = 25;

/** Why the signal of a call that went well aborts at its end. */
const callEnded = new ConnectError("the call is over", Code.Canceled);
