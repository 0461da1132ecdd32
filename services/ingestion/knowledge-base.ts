import { DomainError } from "../../shared/errors.ts";
import {
  type AnsweredPassage,
  alone,
  type FilePassages,
  foldEqual,
  groupByFile,
  mergeNeighbours,
} from "./passage-groups.ts";
import { bestParts } from "./passage-parts.ts";
import type { Embedder, Passage, PassageQuery, PassageStore, Work } from "./ports.ts";

export interface Question {
  /** Not empty. */
  readonly query: string;
  /** "" matches any, here and below. */
  readonly repoId: string;
  readonly pathPrefix: string;
  readonly language: string;
  /** 1 to 100. */
  readonly topK: number;
  readonly minScore: number;
  /** Passages that touch are answered one by one. */
  readonly keepApart: boolean;
  readonly groupByFile: boolean;
  /** Answer the best parts of passages, of at most so many characters; 0: whole passages. */
  readonly passageCharacters: number;
}

/** What was found, by file where that was asked for. */
export type Answer =
  | { readonly passages: readonly AnsweredPassage[] }
  | { readonly files: readonly FilePassages[] };

const maxHits = 1_000;
/** How long the collection's model is taken to be the same. */
const modelAgeMs = 5_000;
/** The share of the time left that embedding may take before words alone must do. */
const embeddingShare = 0.5;
const defaultEmbeddingMs = 10_000;

/** Answers questions from what was ingested. */
export class KnowledgeBase {
  readonly #embedder: Embedder;
  readonly #passages: PassageStore;
  readonly #onWordsOnly: (error: unknown) => void;
  #model: { readonly name: string; readonly since: number } | undefined;

  /** `onWordsOnly` learns why a question is answered without its meaning. */
  constructor(
    embedder: Embedder,
    passages: PassageStore,
    onWordsOnly: (error: unknown) => void = () => {},
  ) {
    this.#embedder = embedder;
    this.#passages = passages;
    this.#onWordsOnly = onWordsOnly;
  }

  /**
   * The best passages, best first, no text twice. By meaning and words; by words alone where the
   * question cannot be embedded.
   */
  async ask(work: Work, question: Question): Promise<Answer> {
    const embedding = await this.#embed(work, question.query);
    const {
      query: text,
      topK,
      keepApart,
      groupByFile: byFile,
      passageCharacters,
      ...filter
    } = question;
    for (let limit = Math.min(maxHits, topK * 3); ; limit = Math.min(maxHits, limit * 4)) {
      const hits = await this.#search(work, { ...filter, text, embedding, limit });
      const isAll = hits.length < limit || limit === maxHits;
      const most = byFile ? Number.POSITIVE_INFINITY : topK;
      const found = foldEqual(hits);
      const parts = passageCharacters === 0 ? found : bestParts(found, text, passageCharacters);
      const passages = arrange(parts, keepApart, most);
      if (!byFile) {
        if (passages.length === topK || isAll) return { passages };
        continue;
      }
      const files = groupByFile(passages, topK);
      if (files.length === topK || isAll) return { files };
    }
  }

  async #embed(work: Work, query: string): Promise<PassageQuery["embedding"]> {
    const timeoutMs = Math.min(
      defaultEmbeddingMs,
      (work.timeoutMs ?? Number.POSITIVE_INFINITY) * embeddingShare,
    );
    try {
      const model = await this.#collectionModel(work);
      const limited = { ...work, timeoutMs };
      const name = model === "" ? await this.#embedder.defaultModel(limited) : model;
      const [answer] = await this.#embedder.embed(limited, name, "search_query", [query]);
      if (answer !== undefined && "vector" in answer) return { model: name, vector: answer.vector };
      this.#onWordsOnly(answer?.failure);
    } catch (error) {
      work.signal.throwIfAborted();
      if (!(error instanceof DomainError)) throw error;
      this.#onWordsOnly(error);
    }
    return undefined;
  }

  async #search(work: Work, query: PassageQuery): Promise<readonly Passage[]> {
    try {
      return await this.#passages.search(work, query);
    } catch (error) {
      if (!(error instanceof DomainError) || query.embedding === undefined) throw error;
      if (error.kind !== "failed_precondition") throw error;
      // The collection changed its model since it was asked.
      this.#model = undefined;
      this.#onWordsOnly(error);
      return this.#passages.search(work, { ...query, embedding: undefined });
    }
  }

  async #collectionModel(work: Work): Promise<string> {
    const known = this.#model;
    if (known !== undefined && performance.now() - known.since < modelAgeMs) return known.name;
    const name = await this.#passages.model(work);
    this.#model = name === "" ? undefined : { name, since: performance.now() };
    return name;
  }
}

function arrange(
  hits: readonly Passage[],
  keepApart: boolean,
  most: number,
): readonly AnsweredPassage[] {
  if (!keepApart) return mergeNeighbours(hits, most);
  return hits.slice(0, most).map(alone);
}
