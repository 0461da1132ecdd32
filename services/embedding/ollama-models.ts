import type { EmbeddingTask } from "./embedder.ts";

/** What is known of a model beyond what Ollama tells. */
interface KnownModel {
  /** Put before a text, as the model was trained. */
  readonly prefixes: Readonly<Record<EmbeddingTask, string>>;
  /** Tokens that the model really reads, where Ollama or its makers promise more. */
  readonly contextTokens?: number;
}

const none = { document: "", query: "" };
const searchSentence = {
  document: "",
  query: "Represent this sentence for searching relevant passages: ",
};

/** By name without tag. A model that is not here gets no prefixes. */
const knownModels: Readonly<Record<string, KnownModel>> = {
  "nomic-embed-text": {
    prefixes: { document: "search_document: ", query: "search_query: " },
    contextTokens: 2_048,
  },
  "nomic-embed-text-v2-moe": {
    prefixes: { document: "search_document: ", query: "search_query: " },
    contextTokens: 512,
  },
  "mxbai-embed-large": { prefixes: searchSentence, contextTokens: 512 },
  "snowflake-arctic-embed": { prefixes: searchSentence },
  "snowflake-arctic-embed2": { prefixes: { document: "", query: "query: " } },
  "bge-large": { prefixes: searchSentence, contextTokens: 512 },
  embeddinggemma: {
    prefixes: { document: "title: none | text: ", query: "task: search result | query: " },
    contextTokens: 2_048,
  },
  "qwen3-embedding": {
    prefixes: {
      document: "",
      query:
        "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:",
    },
  },
  "bge-m3": { prefixes: none },
  "all-minilm": { prefixes: none, contextTokens: 256 },
  "granite-embedding": { prefixes: none, contextTokens: 512 },
  "paraphrase-multilingual": { prefixes: none, contextTokens: 128 },
};

/** Room assumed where nobody tells. */
const defaultContextTokens = 512;
/** Tokens that models put around a text. */
const markTokens = 2;

/** `name:latest` and `name` are one model; vectors carry the short form. */
export function canonicalModelName(name: string): string {
  return name.endsWith(":latest") ? name.slice(0, -":latest".length) : name;
}

export function isKnownModel(name: string): boolean {
  return Object.hasOwn(knownModels, withoutTag(name));
}

export function taskPrefix(model: string, task: EmbeddingTask): string {
  return known(model)?.prefixes[task] ?? "";
}

/** Tokens of text that the model reads, its prefix included. */
export function textTokens(model: string, toldByOllama: number): number {
  const limits = [toldByOllama, known(model)?.contextTokens ?? 0].filter((limit) => limit > 0);
  return (limits.length > 0 ? Math.min(...limits) : defaultContextTokens) - markTokens;
}

function known(model: string): KnownModel | undefined {
  return isKnownModel(model) ? knownModels[withoutTag(model)] : undefined;
}

/** `library/name:tag` is the model `name`. */
function withoutTag(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1).replace(/:.*$/, "");
}
