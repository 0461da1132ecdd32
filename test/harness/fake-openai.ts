import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { sleep } from "../../shared/lifecycle.ts";
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

/** Something that goes wrong with requests for embeddings. */
export interface OpenAiFault extends ServerFault {
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
export class FakeOpenAi extends FakeModelServer<OpenAiFault> {
  readonly embedRequests: OpenAiRequestSeen[] = [];
  readonly #options: Required<Omit<FakeOpenAiOptions, "key" | "port">> & { readonly key?: string };

  private constructor(server: Server, options: FakeOpenAiOptions) {
    super(server);
    this.#options = {
      model: "bge-small-en-v1.5",
      dimension: 384,
      contextTokens: 512,
      lists: true,
      heedsDimensions: true,
      ...options,
    };
  }

  static async start(options: FakeOpenAiOptions = {}): Promise<FakeOpenAi> {
    return new FakeOpenAi(await listening(options.port), options);
  }

  protected async answer(
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { key, lists, model, contextTokens } = this.#options;
    if (key !== undefined && request.headers.authorization !== `Bearer ${key}`) {
      return fail(response, 401, "Incorrect API key provided", "invalid_api_key");
    }
    const body = await jsonBody(request);
    if (path === "POST /v1/embeddings") return this.#embed(body, response);
    if (path === "GET /v1/models" && lists) {
      const data = [{ id: model, object: "model", max_model_len: contextTokens }];
      return answerJson(response, 200, { object: "list", data });
    }
    return fail(response, 404, `Invalid URL (${path})`, "not_found");
  }

  async #embed(body: JsonBody, response: ServerResponse): Promise<void> {
    const { dimension, model, contextTokens, heedsDimensions } = this.#options;
    const { input, dimensions, encoding_format: encodingFormat } = body;
    const texts = (Array.isArray(input) ? input : [input]).map(String);
    this.embedRequests.push({ model: body["model"], texts, dimensions, encodingFormat });
    const fault = this.takeFault(texts);
    if (fault?.kind === "slow") await sleep(fault.delayMs ?? 1_000, this.closing.signal);
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
      return { object: "embedding", index, embedding: faulty(embedding, text, fault) };
    });
    if (fault?.kind === "wrong_count") data.pop();
    const twice = fault?.kind === "twice_index" ? data.map((one) => ({ ...one, index: 0 })) : data;
    const items =
      fault?.kind === "no_index" ? data.map(({ index: _, ...others }) => others) : twice;
    answerJson(response, 200, {
      object: "list",
      // The last first: who reads by place instead of index is wrong.
      data: items.toReversed(),
      model,
      usage: { prompt_tokens: texts.length, total_tokens: texts.length },
    });
  }
}

function fail(response: ServerResponse, status: number, message: string, code: string): void {
  answerJson(response, status, { error: { message, type: "invalid_request_error", code } });
}
