import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { sleep } from "../../shared/lifecycle.ts";
import { wordVector } from "./fake-ollama.ts";

/** Something that goes wrong with requests for embeddings. */
export interface OpenAiFault {
  readonly kind:
    | "status"
    | "slow"
    | "reset"
    | "wrong_count"
    | "no_index"
    | "twice_index"
    | "null"
    | "zero"
    | "wrong_dimension";
  /** Of kind `status`; default 500. */
  readonly status?: number;
  /** Of kind `slow`; default 1,000. */
  readonly delayMs?: number;
  /** How many requests it hits; default: all. */
  readonly times?: number;
  /** Hits only requests with a text that holds this; spoils only the vectors of such texts. */
  readonly marker?: string;
}

export interface FakeOpenAiOptions {
  /** Default 0: any free port. */
  readonly port?: number;
  readonly model?: string;
  readonly dimension?: number;
  readonly contextTokens?: number;
  /** Requests without it are 401. Default: none is needed. */
  readonly key?: string;
  /** vLLM and OpenAI list their models; Text Embeddings Inference has no list. Default true. */
  readonly lists?: boolean;
  /** Heeds `dimensions`, as OpenAI does, or ignores it, as llama.cpp does. Default true. */
  readonly heedsDimensions?: boolean;
}

export interface OpenAiRequestSeen {
  readonly model: unknown;
  readonly texts: readonly string[];
  readonly dimensions: unknown;
  readonly encodingFormat: unknown;
}

/**
 * Speaks the OpenAI protocol of embeddings on a real port. It answers in an order that is not that
 * of the texts, as the protocol allows: only `index` tells.
 */
export class FakeOpenAi implements AsyncDisposable {
  readonly url: string;
  readonly embedRequests: OpenAiRequestSeen[] = [];
  readonly requests: string[] = [];
  readonly #server;
  readonly #options: Required<Omit<FakeOpenAiOptions, "key" | "port">> & { readonly key?: string };
  readonly #closing = new AbortController();
  #faults: { readonly fault: OpenAiFault; left: number }[] = [];

  private constructor(server: ReturnType<typeof createServer>, options: FakeOpenAiOptions) {
    this.#server = server;
    this.#options = {
      model: "bge-small-en-v1.5",
      dimension: 384,
      contextTokens: 512,
      lists: true,
      heedsDimensions: true,
      ...options,
    };
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("request", (request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  static async start(options: FakeOpenAiOptions = {}): Promise<FakeOpenAi> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port ?? 0, "127.0.0.1", resolve);
    });
    return new FakeOpenAi(server, options);
  }

  /** Adds a fault; the first one that matches a request hits it. */
  fail(fault: OpenAiFault): void {
    this.#faults.push({ fault, left: fault.times ?? Number.POSITIVE_INFINITY });
  }

  heal(): void {
    this.#faults = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the fake is closing"));
    this.#server.closeAllConnections();
    if (!this.#server.listening) return;
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = `${request.method} ${request.url}`;
    this.requests.push(path);
    const { key, lists, model, contextTokens } = this.#options;
    if (key !== undefined && request.headers.authorization !== `Bearer ${key}`) {
      return fail(response, 401, "Incorrect API key provided", "invalid_api_key");
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    if (path === "POST /v1/embeddings") return this.#embed(JSON.parse(body), response);
    if (path === "GET /v1/models" && lists) {
      const data = [{ id: model, object: "model", max_model_len: contextTokens }];
      return json(response, 200, { object: "list", data });
    }
    return fail(response, 404, `Invalid URL (${path})`, "not_found");
  }

  async #embed(body: Record<string, unknown>, response: ServerResponse): Promise<void> {
    const { dimension, model, contextTokens, heedsDimensions } = this.#options;
    const { input, dimensions, encoding_format: encodingFormat } = body;
    const texts = (Array.isArray(input) ? input : [input]).map(String);
    this.embedRequests.push({ model: body["model"], texts, dimensions, encodingFormat });
    const fault = this.#takeFault(texts);
    if (fault?.kind === "slow") await sleep(fault.delayMs ?? 1_000, this.#closing.signal);
    if (fault?.kind === "reset") return void response.socket?.resetAndDestroy();
    if (fault?.kind === "status") return fail(response, fault.status ?? 500, "went wrong", "fault");
    if (body["model"] !== model) {
      return fail(response, 404, `The model \`${body["model"]}\` does not exist`, "not_found");
    }
    if (texts.some((text) => (text.match(/\S+/g) ?? []).length > contextTokens)) {
      const message = `This model's maximum context length is ${contextTokens} tokens.`;
      return fail(response, 400, message, "context_length_exceeded");
    }
    const wanted = typeof dimensions === "number" && heedsDimensions ? dimensions : dimension;
    const data = texts.map((text, index) => {
      const embedding = wordVector(text, dimension).slice(0, wanted);
      return { object: "embedding", index, embedding: spoiled(embedding, text, fault) };
    });
    if (fault?.kind === "wrong_count") data.pop();
    const twice = fault?.kind === "twice_index" ? data.map((one) => ({ ...one, index: 0 })) : data;
    const items =
      fault?.kind === "no_index" ? data.map(({ index: _, ...others }) => others) : twice;
    json(response, 200, {
      object: "list",
      // The last first: who reads by place instead of index is wrong.
      data: items.toReversed(),
      model,
      usage: { prompt_tokens: texts.length, total_tokens: texts.length },
    });
  }

  #takeFault(texts: readonly string[]): OpenAiFault | undefined {
    const hit = this.#faults.find(
      ({ fault: { marker }, left }) =>
        left > 0 && (marker === undefined || texts.some((text) => text.includes(marker))),
    );
    if (hit !== undefined) hit.left--;
    return hit?.fault;
  }
}

function spoiled(vector: readonly number[], text: string, fault: OpenAiFault | undefined) {
  if (fault === undefined || !text.includes(fault.marker ?? "")) return vector;
  if (fault.kind === "null") return vector.map(() => null);
  if (fault.kind === "zero") return vector.map(() => 0);
  return fault.kind === "wrong_dimension" ? vector.slice(1) : vector;
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

function fail(response: ServerResponse, status: number, message: string, code: string): void {
  json(response, status, { error: { message, type: "invalid_request_error", code } });
}
