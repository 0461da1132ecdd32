import { createHash } from "node:crypto";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { sleep } from "../../shared/lifecycle.ts";
import { CostModel } from "./cost-model.ts";

/** A model that the fake has installed. */
export interface FakeModel {
  /** With its tag: `nomic-embed-text:latest`. */
  readonly name: string;
  readonly dimension: number;
  readonly contextTokens: number;
  readonly capabilities: readonly string[];
  /** Another word here makes other vectors. Default: empty. */
  readonly weights?: string;
}

/** Something that goes wrong with embed requests. */
export interface EmbedFault {
  readonly kind:
    | "status"
    | "slow"
    | "reset"
    | "cut_off"
    | "wrong_count"
    | "shuffled"
    | "wrong_dimension"
    | "not_json"
    | "null"
    | "zero";
  /** Of kind `status`; default 500. */
  readonly status?: number;
  /** Of kind `slow`; default 1,000. The answer then is as usual. */
  readonly delayMs?: number;
  /** How many requests it hits; default: all. */
  readonly times?: number;
  /**
   * Hits only requests with a text that holds this. The kinds `wrong_dimension`, `null` and `zero`
   * then spoil only the vectors of such texts.
   */
  readonly marker?: string;
}

export interface EmbedRequestSeen {
  readonly model: string;
  readonly texts: readonly string[];
  readonly headers: IncomingHttpHeaders;
  /** As it was sent: text, a number, or undefined. */
  readonly keepAlive: unknown;
  readonly truncate: unknown;
}

/**
 * What embedding costs, in milliseconds; nothing is computed, the time only passes. A client that
 * goes away frees what it waited for, but for the text under way.
 */
export interface FakeCost {
  /** Of each request. */
  readonly perRequestMs: number;
  readonly perTextMs: number;
  /** Requests worked on at once; others wait in the order of their arrival. */
  readonly parallel: number;
}

/** How a pull goes. */
export interface FakePull {
  /** Bytes that have come, of `total`; one line each. */
  readonly steps?: readonly number[];
  readonly total?: number;
  readonly pauseMs?: number;
  /** Ends the stream with this error, as Ollama does, with status 200. */
  readonly error?: string;
}

export interface FakeOllamaOptions {
  /** Default 0: any free port. */
  readonly port?: number;
  /** Default: nomic-embed-text alone. */
  readonly models?: readonly FakeModel[];
  /** Like Ollama since 0.13.5: refuses long texts although `truncate` is set. Default true. */
  readonly refusesLongTexts?: boolean;
  readonly cost?: FakeCost;
  /** Answers with one of a few vectors made before, for measuring others. Default false. */
  readonly readyVectors?: boolean;
}

export const nomic: FakeModel = {
  name: "nomic-embed-text:latest",
  dimension: 768,
  contextTokens: 2_048,
  capabilities: ["embedding"],
};

/**
 * Speaks Ollama's HTTP protocol, as far as embedding goes, on a real port. Its vectors depend on
 * nothing but the words of the text: texts that share words are near each other, on every run.
 * Like Ollama it knows only what it is sent, so a missing task prefix changes the vector.
 */
export class FakeOllama implements AsyncDisposable {
  readonly url: string;
  readonly models: FakeModel[];
  /** All embed requests, in order of arrival; unusable ones as well. */
  readonly embedRequests: EmbedRequestSeen[] = [];
  /** Paths of all requests, such as `GET /api/tags`. */
  readonly requests: string[] = [];
  embedsInFlight = 0;
  mostEmbedsInFlight = 0;
  /** Embed requests whose client went away before the answer. */
  abandoned = 0;
  pulling: FakePull = {};
  readonly #cost: CostModel | undefined;
  readonly #ready: readonly string[];
  readonly #server;
  readonly #refusesLongTexts: boolean;
  readonly #closing = new AbortController();
  #faults: { readonly fault: EmbedFault; left: number }[] = [];

  private constructor(server: ReturnType<typeof createServer>, options: FakeOllamaOptions) {
    this.#server = server;
    this.#refusesLongTexts = options.refusesLongTexts ?? true;
    this.#cost = options.cost === undefined ? undefined : new CostModel(options.cost);
    this.#ready = options.readyVectors
      ? Array.from({ length: 64 }, (_, i) => JSON.stringify(wordVector(`vector ${i}`, 768)))
      : [];
    this.models = [...(options.models ?? [nomic])];
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("request", (request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  static async start(options: FakeOllamaOptions = {}): Promise<FakeOllama> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port ?? 0, "127.0.0.1", resolve);
    });
    return new FakeOllama(server, options);
  }

  /** Adds a fault; the first one that matches a request hits it. */
  fail(fault: EmbedFault): void {
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
    const body = await bodyOf(request);
    switch (path) {
      case "GET /api/version":
        return json(response, 200, { version: "0.15.6" });
      case "GET /api/tags":
        return json(response, 200, { models: this.models.map(tagOf) });
      case "POST /api/show":
        return this.#show(body, response);
      case "POST /api/pull":
        return this.#pull(body, response);
      case "POST /api/embed":
        return this.#embed(body, request.headers, response);
      default:
        return json(response, 404, { error: "404 page not found" });
    }
  }

  #find(name: unknown): FakeModel | undefined {
    const wanted = String(name ?? "");
    return this.models.find((model) => model.name === wanted || model.name === `${wanted}:latest`);
  }

  #show(body: Body, response: ServerResponse): void {
    const model = this.#find(body["model"]);
    if (model === undefined) {
      notFound(response, body["model"]);
      return;
    }
    json(response, 200, {
      details: { format: "gguf", family: "nomic-bert", families: ["nomic-bert"] },
      model_info: {
        "general.architecture": "nomic-bert",
        "nomic-bert.context_length": model.contextTokens,
        "nomic-bert.embedding_length": model.dimension,
      },
      capabilities: model.capabilities,
    });
  }

  async #pull(body: Body, response: ServerResponse): Promise<void> {
    const asked = String(body["model"] ?? body["name"] ?? "");
    const name = asked.includes(":") ? asked : `${asked}:latest`;
    const { steps = [], total = 0, pauseMs = 0, error } = this.pulling;
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    const say = (line: object) => response.write(`${JSON.stringify(line)}\n`);
    say({ status: "pulling manifest" });
    for (const completed of steps) {
      await sleep(pauseMs, this.#closing.signal);
      if (response.destroyed) return;
      say({ status: "pulling 970aa74c0a90", digest: "sha256:970aa74c0a90", total, completed });
    }
    if (error !== undefined) {
      say({ error });
      response.end();
      return;
    }
    if (this.#find(name) === undefined) this.models.push({ ...nomic, name });
    for (const status of ["verifying sha256 digest", "success"]) say({ status });
    response.end();
  }

  async #embed(body: Body, headers: IncomingHttpHeaders, response: ServerResponse): Promise<void> {
    const input = body["input"] ?? [];
    const texts = (Array.isArray(input) ? input : [input]).map(String);
    const { keep_alive: keepAlive, truncate } = body;
    this.embedRequests.push({ model: String(body["model"]), texts, headers, keepAlive, truncate });
    this.mostEmbedsInFlight = Math.max(this.mostEmbedsInFlight, ++this.embedsInFlight);
    const gone = new AbortController();
    response.once("close", () => {
      gone.abort();
      this.embedsInFlight--;
      if (!response.writableFinished) this.abandoned++;
    });
    const fault = this.#takeFault(texts);
    if (fault?.kind === "slow") await sleep(fault.delayMs ?? 1_000, this.#closing.signal);
    await this.#cost?.pass(texts.length, gone.signal);
    if (response.destroyed) return;
    const model = this.#find(body["model"]);
    if (model === undefined) return notFound(response, body["model"]);
    if (fault !== undefined && failRequest(response, fault)) return;
    const fitting = texts.map((text) => beginning(text, model.contextTokens));
    if (
      (this.#refusesLongTexts || truncate === false) &&
      fitting.some((text, index) => text !== texts[index])
    ) {
      const error = "the input length exceeds the context length";
      return json(response, 400, { error });
    }
    if (this.#ready.length > 0) {
      const vectors = texts.map((text) => this.#ready[hashed(text) % this.#ready.length]);
      response.writeHead(200, { "content-type": "application/json; charset=utf-8" });
      response.end(`{"model":"nomic-embed-text","embeddings":[${vectors.join()}]}`);
      return;
    }
    const embeddings = fitting.map((text) =>
      spoiled(wordVector(text, model.dimension, model.weights), text, fault),
    );
    if (fault?.kind === "wrong_count") embeddings.pop();
    if (fault?.kind === "shuffled") embeddings.push(...embeddings.splice(0, 1));
    json(response, 200, { model: body["model"], embeddings, prompt_eval_count: texts.length });
  }

  #takeFault(texts: readonly string[]): EmbedFault | undefined {
    const hit = this.#faults.find(
      ({ fault: { marker }, left }) =>
        left > 0 && (marker === undefined || texts.some((text) => text.includes(marker))),
    );
    if (hit !== undefined) hit.left--;
    return hit?.fault;
  }
}

function hashed(text: string): number {
  let hash = 7;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) >>> 0;
  return hash;
}

type Body = Readonly<Record<string, unknown>>;

async function bodyOf(request: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return chunks.length === 0 ? {} : (JSON.parse(Buffer.concat(chunks).toString()) as Body);
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8" });
  response.end(JSON.stringify(body));
}

function notFound(response: ServerResponse, model: unknown): void {
  json(response, 404, { error: `model "${model}" not found, try pulling it first` });
}

function tagOf({ name, dimension, weights = "" }: FakeModel) {
  const digest = createHash("sha256").update(`${name} ${dimension} ${weights}`).digest("hex");
  return { name, model: name, digest, size: 274_302_450, details: { family: "nomic-bert" } };
}

/** True when the fault has answered, or broken the connection. */
function failRequest(response: ServerResponse, fault: EmbedFault): boolean {
  switch (fault.kind) {
    case "status":
      json(response, fault.status ?? 500, { error: "something went wrong" });
      return true;
    case "reset":
      response.socket?.resetAndDestroy();
      return true;
    case "cut_off":
      response.writeHead(200, { "content-type": "application/json", "content-length": "9999" });
      response.write('{"embeddings":[[0.1,', () => response.destroy());
      return true;
    case "not_json":
      // What Go's encoder never writes, but a broken one does.
      response.writeHead(200, { "content-type": "application/json" });
      response.end('{"embeddings":[[NaN]]}');
      return true;
    default:
      return false;
  }
}

function spoiled(
  vector: readonly number[],
  text: string,
  fault: EmbedFault | undefined,
): readonly (number | null)[] {
  if (fault === undefined || !text.includes(fault.marker ?? "")) return vector;
  if (fault.kind === "null") return vector.map(() => null);
  if (fault.kind === "zero") return vector.map(() => 0);
  return fault.kind === "wrong_dimension" ? vector.slice(1) : vector;
}

/** The beginning that fits, where each word and each sign is a token and a long word is several. */
function beginning(text: string, tokens: number): string {
  if (text.length <= tokens) return text;
  let left = tokens - 2;
  for (const piece of text.matchAll(/[\p{L}\p{N}]{1,8}|[^\s\p{L}\p{N}]/gu)) {
    if (left-- === 0) return text.slice(0, piece.index);
  }
  return text;
}

/** The sum of one pseudo-random direction for each word, of length 1. */
export function wordVector(text: string, dimension: number, weights = ""): number[] {
  const sum = new Float64Array(dimension);
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? [""]) {
    let state =
      createHash("sha256")
        .update(weights + word)
        .digest()
        .readUInt32LE(0) | 1;
    for (let i = 0; i < dimension; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      sum[i] = (sum[i] ?? 0) + state / 2 ** 31;
    }
  }
  const length = Math.hypot(...sum);
  return Array.from(sum, (value) => value / length);
}
