import { decodeRequest } from "./codec.ts";
import { protocolError } from "./errors.ts";
import { ServerCall } from "./server-call.ts";

/** One message in, one out. */
export class UnaryCall extends ServerCall {
  readonly stream = false;
  #bytes: Buffer | undefined;

  /** Decoded when asked for, so that a call without a valid token costs no decoding. */
  get message(): unknown {
    const { method, maxMessageBytes } = this.hosted;
    return decodeRequest(method.input, this.#bytes ?? Buffer.alloc(0), maxMessageBytes);
  }

  protected onStart(): void {
    this.wire.startRead();
  }

  protected onMessage(bytes: Buffer): void {
    if (this.#bytes === undefined) {
      this.#bytes = bytes;
      this.wire.startRead();
    } else this.fail(protocolError("more than one request message"));
  }

  protected onHalfClose(): void {
    if (this.over) return;
    if (this.#bytes === undefined) this.fail(protocolError("the request message is missing"));
    else void this.#run();
  }

  protected onOver(): void {
    this.#bytes = undefined;
  }

  async #run(): Promise<void> {
    try {
      const response = await this.runChain();
      if (this.over) return;
      this.send(response.message as unknown as Buffer, ignore);
      this.succeed();
    } catch (error) {
      this.fail(error);
    }
  }
}

function ignore(): void {}
