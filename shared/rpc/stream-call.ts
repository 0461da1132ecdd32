import type { ConnectError } from "@connectrpc/connect";
import type { ServerInterceptingCallInterface } from "@grpc/grpc-js";
import { decodeRequest } from "./codec.ts";
import { Inbox } from "./inbox.ts";
import { Outbox } from "./outbox.ts";
import { type HostedMethod, ServerCall, type ServerScope } from "./server-call.ts";

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

  protected onHalfClose(): void {
    this.message.end();
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
