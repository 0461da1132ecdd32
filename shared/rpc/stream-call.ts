import type { ConnectError } from "@connectrpc/connect";
import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";
import { decodeRequest } from "./codec.ts";
import { Inbox } from "./inbox.ts";
import { Outbox } from "./outbox.ts";
import { type HostedMethod, ServerCall, type ServerScope } from "./server-call.ts";

/** An end and the reset after it were measured 0.4 ms apart on an idle machine. */
const resetGraceMs = 5;

/** A call with a stream in either or both directions; the sender is held back in both. */
export class StreamCall extends ServerCall {
  readonly stream = true;
  readonly message: Inbox<unknown>;
  readonly #outbox = new Outbox();

  constructor(hosted: HostedMethod, wire: ServerInterceptingCallInterface, scope: ServerScope) {
    super(hosted, wire, scope);
    this.message = new Inbox<unknown>(
      () => wire.startRead(),
      (bytes) => decodeRequest(hosted.method.input, bytes, hosted.maxMessageBytes),
    );
  }

  protected onStart(): void {
    this.message.open();
    void this.#run();
  }

  protected onMessage(bytes: Buffer): void {
    this.message.push(bytes);
  }

  /**
   * Node's HTTP/2 clients, and so those of grpc-js, cancel a call by ending their stream and only
   * then resetting it. A handler must not take the first half of an upload for the whole, so the
   * end of a request stream waits for that news: some time, and one more look at the socket.
   */
  protected onHalfClose(): void {
    if (this.method.methodKind === "server_streaming") this.message.end();
    else setTimeout(() => setImmediate(() => this.message.end()), resetGraceMs);
  }

  protected onOver(reason: ConnectError): void {
    this.message.fail(reason);
    this.#outbox.close();
  }

  async #run(): Promise<void> {
    try {
      const response = await this.runChain();
      await this.#sendAll(response.message as AsyncIterable<unknown>);
      this.succeed();
    } catch (error) {
      this.fail(error);
    }
  }

  async #sendAll(messages: AsyncIterable<unknown>): Promise<void> {
    const iterator = messages[Symbol.asyncIterator]();
    while (true) {
      const step = await iterator.next();
      if (step.done === true) return;
      // Nobody listens any more: let the handler's `finally` run.
      if (this.over) return void (await iterator.return?.());
      const bytes = step.value as Buffer;
      try {
        this.send(bytes, this.#outbox.sending(bytes.byteLength));
      } catch (error) {
        await iterator.return?.();
        throw error;
      }
      if (this.#outbox.full) await this.#outbox.room();
    }
  }
}
