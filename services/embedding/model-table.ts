import type { EmbeddingTask } from "./embedder.ts";

/** What is known of a model beyond what its provider tells. */
export interface ModelKnowledge {
  /** Put before a text, as the model was trained. Default: nothing. */
  readonly prefixes?: Readonly<Partial<Record<EmbeddingTask, string>>>;
  /** Tokens that the model really reads, where its provider or its makers promise more. */
  readonly contextTokens?: number;
  /** Set for a model trained so that the beginning of its vector is a vector too (Matryoshka). */
  readonly matryoshka?: Matryoshka;
}

export interface Matryoshka {
  /** The shortest beginning that its makers have measured. */
  readonly least: number;
  /** Its makers want the whole vector brought to mean 0 and variance 1 before it is cut. */
  readonly normalizeFirst?: boolean;
}

const searchSentence = {
  query: "Represent this sentence for searching relevant passages: ",
};
const e5 = { document: "passage: ", query: "query: " };
const nomic = { document: "search_document: ", query: "search_query: " };
const nomicMatryoshka = { least: 64, normalizeFirst: true };

/**
 * By name without owner and tag, in lower case; the longest name with which a model's name begins.
 * A model that is not here gets no prefixes and the context that its provider tells.
 */
const knownModels: Readonly<Record<string, ModelKnowledge>> = {
  "nomic-embed-text": { prefixes: nomic, contextTokens: 2_048, matryoshka: nomicMatryoshka },
  "nomic-embed-text-v1.5": { prefixes: nomic, contextTokens: 2_048, matryoshka: nomicMatryoshka },
  "nomic-embed-text-v1": { prefixes: nomic, contextTokens: 2_048 },
  "nomic-embed-text-v2-moe": { prefixes: nomic, contextTokens: 512, matryoshka: { least: 256 } },
  "mxbai-embed-large": {
    prefixes: searchSentence,
    contextTokens: 512,
    matryoshka: { least: 64 },
  },
  "snowflake-arctic-embed": { prefixes: searchSentence, contextTokens: 512 },
  "snowflake-arctic-embed-m-v1.5": {
    prefixes: searchSentence,
    contextTokens: 512,
    matryoshka: { least: 256 },
  },
  "snowflake-arctic-embed2": { prefixes: { query: "query: " }, matryoshka: { least: 256 } },
  "snowflake-arctic-embed-l-v2.0": { prefixes: { query: "query: " }, matryoshka: { least: 256 } },
  "snowflake-arctic-embed-m-v2.0": { prefixes: { query: "query: " }, matryoshka: { least: 256 } },
  "bge-small-en": { prefixes: searchSentence, contextTokens: 512 },
  "bge-base-en": { prefixes: searchSentence, contextTokens: 512 },
  "bge-large-en": { prefixes: searchSentence, contextTokens: 512 },
  "bge-large": { prefixes: searchSentence, contextTokens: 512 },
  "bge-base": { prefixes: searchSentence, contextTokens: 512 },
  "bge-small": { prefixes: searchSentence, contextTokens: 512 },
  "bge-m3": {},
  "e5-small": { prefixes: e5, contextTokens: 512 },
  "e5-base": { prefixes: e5, contextTokens: 512 },
  "e5-large": { prefixes: e5, contextTokens: 512 },
  "multilingual-e5-small": { prefixes: e5, contextTokens: 512 },
  "multilingual-e5-base": { prefixes: e5, contextTokens: 512 },
  "multilingual-e5-large": { prefixes: e5, contextTokens: 512 },
  "multilingual-e5-large-instruct": {
    prefixes: {
      query:
        "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: ",
    },
    contextTokens: 512,
  },
  embeddinggemma: {
    prefixes: { document: "title: none | text: ", query: "task: search result | query: " },
    contextTokens: 2_048,
    matryoshka: { least: 128 },
  },
  "qwen3-embedding": {
    prefixes: {
      query:
        "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:",
    },
    matryoshka: { least: 32 },
  },
  "all-minilm": { contextTokens: 256 },
  "granite-embedding": { contextTokens: 512 },
  "paraphrase-multilingual": { contextTokens: 128 },
  "text-embedding-3-small": { contextTokens: 8_191, matryoshka: { least: 256 } },
  "text-embedding-3-large": { contextTokens: 8_191, matryoshka: { least: 256 } },
  "text-embedding-ada-002": { contextTokens: 8_191 },
};

/** Room assumed where nobody tells. */
const defaultContextTokens = 512;
/** Tokens that models put around a text. */
const markTokens = 2;

/** `name:latest` and `name` are one model; vectors carry the short form. */
export function canonicalModelName(name: string): string {
  return name.endsWith(":latest") ? name.slice(0, -":latest".length) : name;
}

/** The knowledge above, with what the configuration says of single models laid over it. */
export class ModelTable {
  readonly #models: ReadonlyMap<string, ModelKnowledge>;

  /** A name given here need not be known; each part given replaces the part that is known. */
  constructor(overrides: Readonly<Record<string, ModelKnowledge>> = {}) {
    const models = new Map(Object.entries(knownModels));
    for (const [name, given] of Object.entries(overrides)) {
      const own = bareName(name);
      const known = models.get(own) ?? nearest(models, own);
      models.set(own, {
        ...known,
        ...given,
        prefixes: { ...known?.prefixes, ...given.prefixes },
      });
    }
    this.#models = models;
  }

  knows(model: string): boolean {
    return this.#find(model) !== undefined;
  }

  taskPrefix(model: string, task: EmbeddingTask): string {
    return this.#find(model)?.prefixes?.[task] ?? "";
  }

  /** Tokens of text that the model reads, its prefix included. */
  textTokens(model: string, toldByProvider: number): number {
    const known = this.#find(model)?.contextTokens ?? 0;
    const limits = [toldByProvider, known].filter((limit) => limit > 0);
    return (limits.length > 0 ? Math.min(...limits) : defaultContextTokens) - markTokens;
  }

  /** Undefined where the model's vectors must not be cut. */
  matryoshka(model: string): Matryoshka | undefined {
    return this.#find(model)?.matryoshka;
  }

  #find(model: string): ModelKnowledge | undefined {
    const name = bareName(model);
    return this.#models.get(name) ?? nearest(this.#models, name);
  }
}

/** `library/Name:tag` is the model `name`; LM Studio puts `text-embedding-` before other names. */
function bareName(name: string): string {
  return name
    .slice(name.lastIndexOf("/") + 1)
    .replace(/:.*$/, "")
    .toLowerCase()
    .replace(/^text-embedding-(?!3-|ada-)/, "");
}

/** `bge-large-en-v1.5` is a `bge-large-en`, as is a file of it; `bge-larger` is not. */
function nearest(
  models: ReadonlyMap<string, ModelKnowledge>,
  name: string,
): ModelKnowledge | undefined {
  let best = "";
  for (const known of models.keys()) {
    if (known.length <= best.length || !name.startsWith(known)) continue;
    if (/[-._]/.test(name.charAt(known.length))) best = known;
  }
  return models.get(best);
}
