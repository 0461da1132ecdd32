import { cutVector } from "./matryoshka.ts";
import type { ModelTable } from "./model-table.ts";
import { unitVector, vectorFault } from "./unit-vector.ts";

export interface VectorReaderOptions {
  readonly modelName: string;
  readonly table: ModelTable;
  /** 0 where the provider did not tell; the first good answer then does. */
  readonly dimension: number;
  /** Components that are wanted: fewer than the model has only where it is Matryoshka. 0: all. */
  readonly wantedDimension?: number;
}

/** A vector of length 1, or what is wrong with the answer. */
export interface ReadVector {
  readonly vector?: Float32Array;
  readonly fault?: string;
}

/** Reads what a provider sends in place of a vector: nothing in it is taken for granted. */
export class VectorReader {
  readonly #options: VectorReaderOptions;
  readonly #asked: number;
  /** Components of what the provider sends. */
  #dimension: number;

  /** `asked`: components that the provider was asked for and may send; 0 where it was not. */
  constructor(options: VectorReaderOptions, asked: number) {
    this.#options = options;
    this.#asked = asked;
    this.#dimension = options.dimension;
  }

  /** Components of the vectors that are read; 0 while nobody has told. */
  get dimension(): number {
    const { wantedDimension = 0 } = this.#options;
    return wantedDimension > 0 ? wantedDimension : this.#dimension;
  }

  read(answer: unknown): ReadVector {
    const values: readonly unknown[] = Array.isArray(answer) ? answer : [];
    const { modelName, table, wantedDimension = 0 } = this.#options;
    const short = this.#asked > 0 && values.length === this.#asked;
    const dimension = short || this.#dimension === 0 ? values.length : this.#dimension;
    const fault = vectorFault(values, dimension);
    if (fault !== undefined) return { fault };
    const numbers = values as readonly number[];
    if (wantedDimension === 0 || wantedDimension === values.length) {
      if (this.#dimension === 0) this.#dimension = values.length;
      return directed(unitVector(numbers));
    }
    const matryoshka = table.matryoshka(modelName);
    const beyond = values.length < wantedDimension || wantedDimension < (matryoshka?.least ?? 0);
    if (matryoshka === undefined || beyond) {
      return {
        fault: `has ${values.length} components, which cannot be cut to ${wantedDimension}`,
      };
    }
    if (this.#dimension === 0) this.#dimension = values.length;
    return directed(cutVector(numbers, wantedDimension, matryoshka));
  }

  /** True for a vector that is good but for its number of components. */
  hasOtherDimension(answer: unknown): boolean {
    if (!Array.isArray(answer) || this.read(answer).vector !== undefined) return false;
    const other = this.#dimension > 0 && answer.length !== this.#dimension;
    return other && vectorFault(answer, answer.length) === undefined;
  }

  /** For a model that is another one now: what was learnt of it is learnt again. */
  forget(): void {
    this.#dimension = this.#options.dimension;
  }
}

function directed(vector: Float32Array | undefined): ReadVector {
  return vector === undefined ? { fault: "has no direction" } : { vector };
}
