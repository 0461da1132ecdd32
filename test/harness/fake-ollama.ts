import { createHash } from "node:crypto";
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from "node:http";
import { sleep } from "../../shared/lifecycle.ts";
import { CostModel } from "./cost-model.ts";
import {
  answerJson,
  FakeModelServer,
  faulty,
  type JsonBody,
  jsonBody,
  listening,
  type ServerFault,
} from "./fake-model-server.ts";
import { wordVector } from "./word-vector.ts";

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

/** Something that goes wrong with embed requests; what is `held` is answered after `heal`. */
export interface EmbedFault extends ServerFault {
  readonly kind:
    | "status"
    | "slow"
    | "held"
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
export class FakeOllama extends FakeModelServer<EmbedFault> {
  readonly models: FakeModel[];
  /** All embed requests, in order of arrival; unusable ones as well. */
  readonly embedRequests: EmbedRequestSeen[] = [];
  embedsInFlight = 0;
  mostEmbedsInFlight = 0;
  /** Embed requests whose client went away before the answer. */
  abandoned = 0;
  pulling: FakePull = {};
  readonly #cost: CostModel | undefined;
  readonly #ready: readonly string[];
  readonly #refusesLongTexts: boolean;

  private constructor(server: Server, options: FakeOllamaOptions) {
    super(server);
    this.#refusesLongTexts = options.refusesLongTexts ?? true;
    this.#cost = options.cost === undefined ? undefined : new CostModel(options.cost);
    this.#ready = options.readyVectors
      ? Array.from({ length: 64 }, (_, i) => JSON.stringify(wordVector(`vector ${i}`, 768)))
      : [];
    this.models = [...(options.models ?? [nomic])];
  }

  static async start(options: FakeOllamaOptions = {}): Promise<FakeOllama> {
    return new FakeOllama(await listening(options.port), options);
  }

  protected async answer(
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const body = await jsonBody(request);
    switch (path) {
      case "GET /api/version":
        return answerJson(response, 200, { version: "0.15.6" });
      case "GET /api/tags":
        return answerJson(response, 200, { models: this.models.map(tagOf) });
      case "POST /api/show":
        return this.#show(body, response);
      case "POST /api/pull":
        return this.#pull(body, response);
      case "POST /api/embed":
        return this.#embed(body, request.headers, response);
      default:
        return answerJson(response, 404, { error: "404 page not found" });
    }
  }

  #find(name: unknown): FakeModel | undefined {
    const wanted = String(name ?? "");
    return this.models.find((model) => model.name === wanted || model.name === `${wanted}:latest`);
  }

  #show(body: JsonBody, response: ServerResponse): void {
    const model = this.#find(body["model"]);
    if (model === undefined) {
      notFound(response, body["model"]);
      return;
    }
    answerJson(response, 200, {
      details: { format: "gguf", family: "nomic-bert", families: ["nomic-bert"] },
      model_info: {
        "general.architecture": "nomic-bert",
        "nomic-bert.context_length": model.contextTokens,
        "nomic-bert.embedding_length": model.dimension,
      },
      capabilities: model.capabilities,
    });
  }

  async #pull(body: JsonBody, response: ServerResponse): Promise<void> {
    const asked = String(body["model"] ?? body["name"] ?? "");
    const name = asked.includes(":") ? asked : `${asked}:latest`;
    const { steps = [], total = 0, pauseMs = 0, error } = this.pulling;
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    const say = (line: object) => response.write(`${JSON.stringify(line)}\n`);
    say({ status: "pulling manifest" });
    for (const completed of steps) {
      await sleep(pauseMs, this.closing.signal);
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

  async #embed(
    body: JsonBody,
    headers: IncomingHttpHeaders,
    response: ServerResponse,
  ): Promise<void> {
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
    const fault = this.takeFault(texts);
    if (fault?.kind === "held") await this.healed();
    if (fault?.kind === "slow") await sleep(fault.delayMs ?? 1_000, this.closing.signal);
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
      return answerJson(response, 400, { error });
    }
    if (this.#ready.length > 0) {
      const vectors = texts.map((text) => this.#ready[hashed(text) % this.#ready.length]);
      response.writeHead(200, { "content-type": "application/json; charset=utf-8" });
      response.end(`{"model":"nomic-embed-text","embeddings":[${vectors.join()}]}`);
      return;
    }
    const embeddings = fitting.map((text) =>
      faulty(wordVector(text, model.dimension, model.weights), text, fault),
    );
    if (fault?.kind === "wrong_count") embeddings.pop();
    if (fault?.kind === "shuffled") embeddings.push(...embeddings.splice(0, 1));
    answerJson(response, 200, {
      model: body["model"],
      embeddings,
      prompt_eval_count: texts.length,
    });
  }
}

function hashed(text: string): number {
  let hash = 7;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) >>> 0;
  return hash;
}

function notFound(response: ServerResponse, model: unknown): void {
  answerJson(response, 404, { error: `model "${model}" not found, try pulling it first` });
}

function tagOf({ name, dimension, weights = "" }: FakeModel) {
  const digest = createHash("sha256").update(`${name} ${dimension} ${weights}`).digest("hex");
  return { name, model: name, digest, size: 274_302_450, details: { family: "nomic-bert" } };
}

/** True when the fault has answered, or broken the connection. */
function failRequest(response: ServerResponse, fault: EmbedFault): boolean {
  switch (fault.kind) {
    case "status":
      answerJson(response, fault.status ?? 500, { error: "something went wrong" });
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

/** The beginning that fits, where each word and each sign is a token and a long word is several. */
function beginning(text: string, tokens: number): string {
  if (text.length <= tokens) return text;
  let left = tokens - 2;
  for (const piece of text.matchAll(/[\p{L}\p{N}]{1,8}|[^\s\p{L}\p{N}]/gu)) {
    if (left-- === 0) return text.slice(0, piece.index);
  }
  return text;
}
