import { describe, expect, it } from "vitest";
import { ConfigError } from "../../shared/config.ts";
import { readEmbeddingConfig } from "./config.ts";

describe("the configuration", () => {
  it("has defaults for all", () => {
    expect(readEmbeddingConfig({ env: {}, file: {} })).toMatchObject({
      host: "127.0.0.1",
      port: 50054,
      provider: "auto",
      ollamaBaseUrl: "http://127.0.0.1:11434",
      ollamaModel: "nomic-embed-text",
      batchSize: 64,
      concurrency: 4,
    });
  });

  it("reads the file, and the environment before it", () => {
    const file = {
      ollama_base_url: "http://ollama:1",
      embedding_model: "bge-m3",
      llm_model: "qwen",
    };
    const config = readEmbeddingConfig({ env: { OLLAMA_BASE_URL: "http://other:2" }, file });
    expect(config).toMatchObject({ ollamaBaseUrl: "http://other:2", ollamaModel: "bge-m3" });
  });

  it("names every mistake at once", () => {
    const env = { MAHAVISHNU_EMBEDDING_PROVIDER: "bedrock", OLLAMA_BASE_URL: "ftp://x" };
    expect(() => readEmbeddingConfig({ env, file: {} })).toThrow(ConfigError);
    expect(() => readEmbeddingConfig({ env, file: {} })).toThrow(
      /MAHAVISHNU_EMBEDDING_PROVIDER.*OLLAMA_BASE_URL/,
    );
  });

  it("wants an endpoint and a model for the provider openai", () => {
    const env = { MAHAVISHNU_EMBEDDING_PROVIDER: "openai" };
    expect(() => readEmbeddingConfig({ env, file: {} })).toThrow(/OPENAI_URL.*OPENAI_MODEL/);
    const url = { MAHAVISHNU_EMBEDDING_OPENAI_URL: "http://localhost:8080/v1" };
    expect(() => readEmbeddingConfig({ env: url, file: {} })).toThrow(/OPENAI_MODEL/);
    const whole = { ...env, ...url, MAHAVISHNU_EMBEDDING_OPENAI_MODEL: "bge-m3" };
    expect(readEmbeddingConfig({ env: whole, file: {} }).openAiModel).toBe("bge-m3");
  });

  it("reads objects from JSON and from the file", () => {
    const knowledge = { query_prefix: "ask: ", context_tokens: 512 };
    const read = { mine: { prefixes: { query: "ask: " }, contextTokens: 512 } };
    const env = {
      MAHAVISHNU_EMBEDDING_MODELS: JSON.stringify({ mine: knowledge }),
      OLLAMA_HEADERS: '{"x-team": "memory"}',
    };
    expect(readEmbeddingConfig({ env, file: {} })).toMatchObject({
      models: read,
      ollamaHeaders: { "x-team": "memory" },
    });
    const file = { embedding: { models: { mine: knowledge } } };
    expect(readEmbeddingConfig({ env: {}, file })).toMatchObject({ models: read });
    const wrong = { MAHAVISHNU_EMBEDDING_MODELS: "{", OLLAMA_KEEP_ALIVE: "soon" };
    expect(() => readEmbeddingConfig({ env: wrong, file: {} })).toThrow(
      /OLLAMA_KEEP_ALIVE.*MAHAVISHNU_EMBEDDING_MODELS.*JSON/,
    );
  });
});
