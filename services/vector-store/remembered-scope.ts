import type { Candidates, Question } from "./candidates.ts";
import { KnownVectors, type NearestCandidates } from "./known-vectors.ts";
import type { ScoringFacts } from "./text-plan.ts";
import { queriesAtOnce } from "./vector-rows.ts";
import { type LexemeCounts, WordIndex } from "./word-index.ts";

/** A document as it is read to be remembered. */
export interface ReadDocument {
  readonly id: string;
  /** Where its row is. */
  readonly place: number;
  /** Undefined: it has none, or its scope's vectors are not remembered. */
  readonly vector: ArrayLike<number> | undefined;
  /** How many occurrences of lexemes its text has. */
  readonly length: number;
  readonly lexemes: LexemeCounts;
}

/** A scope that is remembered. */
export interface KnownScope {
  /** How much each lexeme counts in it. */
  facts(lexemes: readonly string[]): ScoringFacts;
  /** Whatever has changed since the snapshot that the candidates are of may be better. */
  candidates(question: Question): Promise<Candidates>;
}

/** Vectors and words of one scope, as the database showed them at `snapshot`. */
export class RememberedScope implements KnownScope {
  snapshot: string;
  readonly readAt: number;
  /** When, and for how long, it was last read from. */
  restedAt: number;
  tookMs = 0;
  readonly #vectors: KnownVectors;
  readonly #words = new WordIndex();
  readonly #places = new Map<string, number>();
  readonly #asked: Asked[] = [];

  constructor(dimension: number, snapshot: string, readAt: number) {
    this.#vectors = new KnownVectors(dimension);
    this.snapshot = snapshot;
    this.readAt = readAt;
    this.restedAt = readAt;
  }

  /** Documents. */
  get size(): number {
    return this.#words.size;
  }

  /** Memory that it takes, about. */
  get bytes(): number {
    return this.#vectors.bytes + this.#words.bytes + this.#places.size * bytesOfPlace;
  }

  /** What of it is of documents that have changed or gone, for each that is there. */
  get waste(): number {
    return this.#words.waste;
  }

  set({ id, place, vector, length, lexemes }: ReadDocument): void {
    this.#places.set(id, place);
    if (vector === undefined) this.#vectors.delete(id);
    else this.#vectors.set(id, vector);
    this.#words.set(id, length, lexemes);
  }

  delete(ids: readonly string[]): void {
    for (const id of ids) {
      this.#vectors.delete(id);
      this.#words.delete(id);
      this.#places.delete(id);
    }
  }

  /** A row was written anew, elsewhere. */
  move(id: string, place: number): void {
    if (this.#places.has(id)) this.#places.set(id, place);
  }

  /** Work that makes searches quicker, in pieces of a millisecond or two; anything may come between. */
  refine(): Generator<void> {
    return this.#vectors.refine();
  }

  facts(lexemes: readonly string[]): ScoringFacts {
    return this.#words.facts(lexemes);
  }

  /** Answered in the next turn of the event loop, together with others that wait by then. */
  candidates(question: Question): Promise<Candidates> {
    const { promise, resolve, reject } = Promise.withResolvers<Candidates>();
    this.#asked.push({ question, resolve, reject });
    if (this.#asked.length === 1) setImmediate(() => this.#turn());
    return promise;
  }

  /** Answers as many questions as one pass over the vectors can. */
  #turn(): void {
    const asked = this.#asked.splice(0, queriesAtOnce);
    if (this.#asked.length > 0) setImmediate(() => this.#turn());
    try {
      const byVector = asked.flatMap(({ question: { vector, most } }) =>
        vector === undefined ? [] : [{ vector, most }],
      );
      const nearest = this.#vectors.nearest(byVector).values();
      for (const { question, resolve } of asked) {
        resolve(this.#answer(question, question.vector && nearest.next().value));
      }
    } catch (error) {
      for (const { reject } of asked) reject(error);
    }
  }

  /** All of it without a pause: what is told is of one snapshot. */
  #answer({ vector, facts, most }: Question, nearest: NearestCandidates | undefined): Candidates {
    const best = facts && this.#words.best(facts, most);
    const ids = [...(nearest?.ids ?? [])];
    const closeness: (number | undefined)[] = [...(nearest?.closeness ?? [])];
    const textScores = ids.map((id) => best?.scoreOf(id) ?? 0);
    if (best !== undefined) {
      const near = new Set(ids);
      const others: string[] = [];
      for (const [i, id] of best.ids.entries()) {
        if (near.has(id)) continue;
        others.push(id);
        textScores.push(best.scores[i] as number);
      }
      ids.push(...others);
      if (vector !== undefined) closeness.push(...this.#vectors.closeness(vector, others));
    }
    return {
      snapshot: this.snapshot,
      ids,
      places: ids.map((id) => this.#places.get(id) as number),
      closeness,
      textScores,
      vector: nearest && { beyond: nearest.beyond },
      text: best && facts && { facts, beyond: best.beyond, complete: best.complete },
    };
  }
}

/** In a map of strings that are there anyway. */
const bytesOfPlace = 50;

interface Asked {
  readonly question: Question;
  resolve(candidates: Candidates): void;
  reject(reason: unknown): void;
}
