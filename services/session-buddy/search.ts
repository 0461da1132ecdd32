import { Best } from "./best-hits.ts";
import type { Catalogue } from "./catalogue.ts";
import { DimensionMismatchError } from "./errors.ts";
import { type Breathe, createBreathe } from "./event-loop.ts";
import type { Mirror } from "./mirror.ts";
import type { RecordKind, StoredRecord } from "./record.ts";
import type { EntryTest } from "./record-filter.ts";
import type { Scope, TextScores } from "./text-index.ts";
import type { VectorIndexing } from "./vector-indexing.ts";
import { noSimilarities, type Similarities } from "./vector-matrix.ts";
import { words } from "./words.ts";

/** How much the vector part weighs; the text part weighs the rest. As in the vector store. */
const vectorWeight = 0.6;
/** So many records are scored one by one; of more, only the best by words and by sketch are. */
const mostScored = 8_000;
const leastNearest = 1_000;
const breatheEvery = 512;

/** A search whose every part is within its bounds. */
export interface SearchQuery {
  /** Who asks: finds its own records and everyone's. */
  readonly tenant: string;
  readonly text: string;
  /** Undefined: by text only. */
  readonly vector: { readonly values: readonly number[]; readonly model: string } | undefined;
  /** Empty: all. */
  readonly project: string;
  /** 1 to 1,000. */
  readonly limit: number;
  /** 0 to 1. */
  readonly minScore: number;
  /** Empty: all. */
  readonly kinds: ReadonlySet<RecordKind>;
  /** Undefined: no further condition. */
  readonly filter: EntryTest | undefined;
}

/** Scores are 0 to 1, of single precision as they travel, so that equal ones are ordered by id. */
export interface SearchHit {
  readonly record: StoredRecord;
  readonly score: number;
  readonly vectorScore: number | undefined;
  /** Undefined where the query has no word to search for. */
  readonly textScore: number | undefined;
}

export interface SearchAnswer {
  readonly hits: readonly SearchHit[];
  /** Why the answer may be behind the file; empty: it is not. */
  readonly staleness: readonly string[];
}

/** Finds records by words and, where they have vectors, by meaning. */
export class ReflectionSearch {
  readonly #mirror: Mirror;
  readonly #indexing: VectorIndexing;

  constructor(mirror: Mirror, indexing: VectorIndexing) {
    this.#mirror = mirror;
    this.#indexing = indexing;
  }

  /** @throws StoreUnavailableError, DimensionMismatchError */
  async search(query: SearchQuery, signal?: AbortSignal): Promise<SearchAnswer> {
    const view = await this.#mirror.view(signal);
    const { catalogue } = view;
    const staleness = [...view.staleness];
    const similarities = this.#similarities(query, catalogue, staleness);
    const hits = await rank(query, catalogue, similarities, createBreathe(signal));
    return { hits, staleness };
  }

  #similarities({ vector }: SearchQuery, catalogue: Catalogue, staleness: string[]): Similarities {
    if (vector === undefined) return noSimilarities;
    const { model, dimension, pending, found } = this.#indexing.compare(vector, catalogue);
    // Where there is nothing to embed, nothing is behind.
    if (catalogue.contents.size === 0) return found;
    if (model !== vector.model) {
      staleness.push(`no record has a vector of "${vector.model}" yet; found by text`);
    } else if (dimension !== undefined && dimension !== vector.values.length) {
      throw new DimensionMismatchError(vector.model, dimension, vector.values.length);
    } else if (pending > 0) {
      staleness.push(`${pending} records have no vector yet; they are found by text`);
    }
    return found;
  }
}

/**
 * The best hits. Every record of the scope is scored where there are few; of many, those with the
 * best words and those whose vectors are nearest, which takes in all that can be among the best
 * but for rare exceptions.
 */
export async function rank(
  query: SearchQuery,
  catalogue: Catalogue,
  similarities: Similarities,
  breathe: Breathe,
): Promise<readonly SearchHit[]> {
  const scope = await scopeOf(query, catalogue, breathe);
  await breathe();
  const queryWords = words(query.text);
  const textScores = catalogue.text.search(queryWords, scope);
  const best = new Best<SearchHit>(query.limit, better);
  const minScore = Math.fround(query.minScore);
  await breathe();
  const wanted = Math.max(leastNearest, 2 * query.limit);
  const documents = await candidates(catalogue, similarities, textScores, scope, wanted, breathe);
  let since = 0;
  for (const document of documents) {
    if (++since % breatheEvery === 0) await breathe();
    const vectorScore = single(similarities.at(document));
    const textScore = queryWords.length === 0 ? undefined : single(textScores.get(document) ?? 0);
    const score = Math.fround(weightedMean(vectorScore, textScore));
    if (score <= 0 || score < minScore) continue;
    const { worst } = best;
    if (worst !== undefined && score < worst.score) continue;
    const entry = catalogue.entries[document];
    if (entry === undefined) continue;
    best.add({ record: entry.record, score, vectorScore, textScore });
  }
  return best.items;
}

/** The documents of the scope that are worth scoring. */
async function candidates(
  catalogue: Catalogue,
  similarities: Similarities,
  textScores: TextScores,
  scope: Scope | undefined,
  wanted: number,
  breathe: Breathe,
): Promise<Iterable<number>> {
  if (similarities.size === 0) return textScores.documents;
  const all = catalogue.entries.length;
  const size = scope?.size ?? all;
  if (size <= mostScored) return documentsIn(scope, all);
  const chosen = new Set(bestByWords(textScores, wanted));
  await breathe();
  // Of the whole index so many that enough of them will be in the scope.
  const nearest = await similarities.nearest(Math.ceil((wanted * all) / size), breathe);
  for (const hash of nearest) {
    for (const document of catalogue.documentsOf(hash)) {
      if (scope === undefined || scope.mask[document] === 1) chosen.add(document);
    }
  }
  return chosen;
}

function documentsIn(scope: Scope | undefined, all: number): Uint32Array {
  const documents = new Uint32Array(scope?.size ?? all);
  let count = 0;
  for (let document = 0; document < all; document++) {
    if (scope === undefined || scope.mask[document] === 1) documents[count++] = document;
  }
  return documents;
}

/** Of many the best, and all that equal the last of them. */
function bestByWords({ documents, get }: TextScores, wanted: number): readonly number[] {
  if (documents.length <= wanted) return documents;
  const scores = Float64Array.from(documents, (document) => get(document) ?? 0);
  const least = scores.toSorted()[scores.length - wanted] ?? 0;
  return documents.filter((_, at) => (scores[at] ?? 0) >= least);
}

/** The weighted mean of the parts that there are: what is not known does not count as zero. */
function weightedMean(vectorScore: number | undefined, textScore: number | undefined): number {
  if (vectorScore === undefined) return textScore ?? 0;
  if (textScore === undefined) return vectorScore;
  return vectorWeight * vectorScore + (1 - vectorWeight) * textScore;
}

function single(score: number | undefined): number | undefined {
  return score === undefined ? undefined : Math.fround(score);
}

/** Undefined: every record, which is searched without asking of each. */
async function scopeOf(
  query: SearchQuery,
  catalogue: Catalogue,
  breathe: Breathe,
): Promise<Scope | undefined> {
  const { tenant, project, kinds, filter } = query;
  const everyRecord = project === "" && kinds.size === 0 && filter === undefined;
  if (everyRecord && !catalogue.hasOthersThan(tenant)) return undefined;
  const mask = new Uint8Array(catalogue.entries.length);
  let size = 0;
  for (const [document, entry] of catalogue.entries.entries()) {
    if (document % breatheEvery === 0) await breathe();
    const { record, tenant: owner } = entry;
    if (owner !== "" && owner !== tenant) continue;
    if (project !== "" && record.project !== project) continue;
    if (kinds.size > 0 && !kinds.has(record.kind)) continue;
    if (filter !== undefined && !filter(entry)) continue;
    mask[document] = 1;
    size++;
  }
  return { mask, size };
}

function better(a: SearchHit, b: SearchHit): number {
  if (a.score !== b.score) return b.score - a.score;
  return a.record.id < b.record.id ? -1 : a.record.id > b.record.id ? 1 : 0;
}
