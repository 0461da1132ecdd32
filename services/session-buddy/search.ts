import { Best } from "./best-hits.ts";
import type { Catalogue } from "./catalogue.ts";
import { DimensionMismatchError } from "./errors.ts";
import type { Mirror } from "./mirror.ts";
import type { RecordKind, StoredRecord } from "./record.ts";
import type { EntryTest } from "./record-filter.ts";
import type { Scope } from "./text-index.ts";
import type { VectorIndexing } from "./vector-indexing.ts";
import { words } from "./words.ts";

/** How much the vector part weighs; the text part weighs the rest. As in the vector store. */
const vectorWeight = 0.5;

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
    const { catalogue, stale } = await this.#mirror.view(signal);
    const staleness = stale ? ["Session-Buddy's file has changed since it was read"] : [];
    const similarities = await this.#similarities(query, catalogue, staleness, signal);
    return { hits: rank(query, catalogue, similarities), staleness };
  }

  async #similarities(
    { vector }: SearchQuery,
    catalogue: Catalogue,
    staleness: string[],
    signal?: AbortSignal,
  ): Promise<ReadonlyMap<string, number>> {
    if (vector === undefined) return new Map();
    const { model, dimension, pending, found } = await this.#indexing.compare(
      vector,
      catalogue,
      signal,
    );
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

/** The best hits: every record of the scope is scored, so nothing is lost to the filters. */
export function rank(
  query: SearchQuery,
  catalogue: Catalogue,
  similarities: ReadonlyMap<string, number>,
): readonly SearchHit[] {
  const scope = scopeOf(query, catalogue);
  const queryWords = words(query.text);
  const textScores = catalogue.text.search(queryWords, scope);
  const best = new Best<SearchHit>(query.limit, better);
  const minScore = Math.fround(query.minScore);
  const consider = (document: number) => {
    const entry = catalogue.entries[document];
    if (entry === undefined) return;
    const vectorScore = single(similarities.get(entry.hash));
    const textScore = queryWords.length === 0 ? undefined : single(textScores.get(document) ?? 0);
    const score = Math.fround(weightedMean(vectorScore, textScore));
    if (score <= 0 || score < minScore) return;
    best.add({ record: entry.record, score, vectorScore, textScore });
  };
  if (similarities.size === 0) for (const document of textScores.keys()) consider(document);
  else {
    for (let document = 0; document < catalogue.entries.length; document++) {
      if (scope?.(document) ?? true) consider(document);
    }
  }
  return best.items;
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
function scopeOf(query: SearchQuery, catalogue: Catalogue): Scope | undefined {
  const { tenant, project, kinds, filter } = query;
  const everyKind = project === "" && kinds.size === 0 && filter === undefined;
  if (everyKind && !catalogue.hasOthersThan(tenant)) return undefined;
  return remembered((document) => {
    const entry = catalogue.entries[document];
    if (entry === undefined) return false;
    const { record } = entry;
    return (
      (entry.tenant === "" || entry.tenant === tenant) &&
      (project === "" || record.project === project) &&
      (kinds.size === 0 || kinds.has(record.kind)) &&
      (filter === undefined || filter(entry))
    );
  });
}

/** Every word of a query asks again of the same documents; a filter may read their metadata. */
function remembered(scope: Scope): Scope {
  const known = new Map<number, boolean>();
  return (document) => {
    const answer = known.get(document) ?? scope(document);
    known.set(document, answer);
    return answer;
  };
}

function better(a: SearchHit, b: SearchHit): number {
  if (a.score !== b.score) return b.score - a.score;
  return a.record.id < b.record.id ? -1 : a.record.id > b.record.id ? 1 : 0;
}
