/** A part of a text, in characters (code points): the first one, and the one after the last. */
export interface TextRange {
  readonly start: number;
  readonly end: number;
}

/** A further vector of a document, that of a passage of its content. */
export interface NewPassage {
  readonly vector: ArrayLike<number>;
  readonly range: TextRange;
}

/** Most passages of one document. */
export const mostPassages = 256;
