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
      batchSize: 32,
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
    const env = { MAHAVISHNU_EMBEDDING_PROVIDER: "openai", OLLAMA_BASE_URL: "ftp://x" };
    expect(() => readEmbeddingConfig({ env, file: {} })).toThrow(ConfigError);
    expect(() => readEmbeddingConfig({ env, file: {} })).toThrow(
      /MAHAVISHNU_EMBEDDING_PROVIDER.*OLLAMA_BASE_URL/,
    );
  });
});
