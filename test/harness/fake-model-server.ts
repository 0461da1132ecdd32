import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { untilAborted } from "../../shared/abortable.ts";
import { spoiled } from "./word-vector.ts";

/** Something that goes wrong with embed requests. */
export interface ServerFault {
  readonly kind: string;
  /** How many requests it hits; default: all. */
  readonly times?: number;
  /** Hits only requests with a text that holds this, and spoils only the vectors of such texts. */
  readonly marker?: string;
}

export type JsonBody = Readonly<Record<string, unknown>>;

/** A server of embeddings on a real port, that can be made to fail. */
export abstract class FakeModelServer<Fault extends ServerFault> implements AsyncDisposable {
  readonly url: string;
  /** Paths of all requests, such as `GET /api/tags`. */
  readonly requests: string[] = [];
  protected readonly closing = new AbortController();
  readonly #server: Server;
  #faults: { readonly fault: Fault; left: number }[] = [];
  #healing = Promise.withResolvers<void>();

  protected constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("request", (request, response) => {
      const path = `${request.method} ${request.url}`;
      this.requests.push(path);
      this.answer(path, request, response).catch(() => response.destroy());
    });
  }

  protected abstract answer(
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void>;

  /** Adds a fault; the first one that matches a request hits it. */
  fail(fault: Fault): void {
    this.#faults.push({ fault, left: fault.times ?? Number.POSITIVE_INFINITY });
  }

  /** Ends all faults, and lets go what they hold. */
  heal(): void {
    this.#faults = [];
    this.#healing.resolve();
    this.#healing = Promise.withResolvers();
  }

  protected healed(): Promise<void> {
    return untilAborted(this.#healing.promise, this.closing.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closing.abort(new Error("the fake is closing"));
    this.#server.closeAllConnections();
    if (!this.#server.listening) return;
    await new Promise((resolve) => this.#server.close(resolve));
  }

  protected takeFault(texts: readonly string[]): Fault | undefined {
    const hit = this.#faults.find(
      ({ fault: { marker }, left }) =>
        left > 0 && (marker === undefined || texts.some((text) => text.includes(marker))),
    );
    if (hit !== undefined) hit.left--;
    return hit?.fault;
  }
}

/** Port 0: any free one. */
export async function listening(port = 0): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return server;
}

export async function jsonBody(request: IncomingMessage): Promise<JsonBody> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return chunks.length === 0 ? {} : (JSON.parse(Buffer.concat(chunks).toString()) as JsonBody);
}

export function answerJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8" });
  response.end(JSON.stringify(body));
}

/** The vector of a text as the fault leaves it. */
export function faulty(vector: readonly number[], text: string, fault: ServerFault | undefined) {
  return fault !== undefined && text.includes(fault.marker ?? "")
    ? spoiled(vector, fault.kind)
    : vector;
}
