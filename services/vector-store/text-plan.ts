/** Saturation of repeated words, and how much a document's length counts, in BM25. */
export const bm25 = { k1: 1.2, b: 0.75 } as const;

/** What a scope's documents are for BM25, all together. */
export interface ScopeStatistics {
  /** How many there are. */
  readonly documents: number;
  /** Occurrences of lexemes in a document, on average. */
  readonly meanLength: number;
}

/** A lexeme of the query. */
export interface WeightedLexeme {
  readonly lexeme: string;
  /** The most that a document can score by it: its share of the idf of all. */
  readonly share: number;
  /** How likely a document holds it. */
  readonly likelihood: number;
}

/** What a document's score follows from. */
export interface ScoringFacts {
  readonly lexemes: readonly WeightedLexeme[];
  readonly statistics: ScopeStatistics;
}

/** Which documents are meant: those that hold a lexeme, or what several requirements make of it. */
export type Requirement =
  | { readonly holds: string }
  | { readonly all: readonly Requirement[] }
  | { readonly any: readonly Requirement[] };

/** Never negative: what Lucene makes of Robertson's idf. */
function inverseFrequency(documents: number, frequency: number): number {
  return Math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5));
}

/** The query's lexemes by weight, the heaviest first; equal ones by name. The shares make 1. */
export function weighted(
  documents: number,
  frequencies: ReadonlyMap<string, number>,
): WeightedLexeme[] {
  const each = [...frequencies].map(([lexeme, counted]) => {
    // An estimate may be above the number of documents.
    const frequency = Math.min(counted, documents);
    const likelihood = frequency / documents;
    return { lexeme, idf: inverseFrequency(documents, frequency), likelihood };
  });
  const all = each.reduce((sum, one) => sum + one.idf, 0);
  return each
    .map(({ lexeme, idf, likelihood }) => ({ lexeme, share: idf / all, likelihood }))
    .sort((a, b) => b.share - a.share || (a.lexeme < b.lexeme ? -1 : 1));
}

/** So many lexemes are told apart; the requirement has at most 2 to the power of this parts. */
const toldApart = 8;

/** More than single precision, in which scores are compared, can lose. */
const rounding = 1e-5;

/**
 * What every document fulfils whose score is `score` or more; others may fulfil it too. A document
 * scores less by a lexeme than the lexeme's share, so those that it holds must have shares of more
 * than `score` together. This is MaxScore's rule (Turtle and Flood, 1995), taken to all
 * combinations: the index decides by it which documents are read at all.
 */
export function requirementFor(lexemes: readonly WeightedLexeme[], score: number): Requirement {
  const needed = score * (1 - rounding) - rounding;
  const rest = suffixSums(lexemes);
  // Those that can make up for nothing that is missing are no way to the score of their own.
  const reaching = lexemes.filter((_, i) => (rest[i] ?? 0) >= needed);
  const anyOf = (list: readonly WeightedLexeme[]) =>
    either(list.map(({ lexeme }) => ({ holds: lexeme })));
  if (needed <= 0) return anyOf(lexemes);

  /** Undefined: nothing more is required. False: it cannot be reached. */
  const from = (i: number, missing: number, taken: boolean): Requirement | undefined | false => {
    if (missing <= 0) return undefined;
    const own = lexemes[i];
    if (own === undefined || (rest[i] ?? 0) < missing) return false;
    if (i >= toldApart) return taken ? undefined : anyOf(reaching.slice(i));
    const withIt = from(i + 1, missing - own.share, true);
    const without = from(i + 1, missing, taken);
    // What needs nothing more without it needs nothing more.
    if (without === undefined) return undefined;
    const held: Requirement = { holds: own.lexeme };
    const ways: Requirement[] = [];
    if (withIt !== false) ways.push(withIt === undefined ? held : both(held, withIt));
    if (without !== false) ways.push(without);
    return ways.length === 0 ? false : either(ways);
  };
  const found = from(0, needed, false);
  return found === undefined || found === false ? anyOf(lexemes) : found;
}

/** Which share of documents fulfils the requirement for `score`, were words to come by chance. */
export function expectedShare(lexemes: readonly WeightedLexeme[], score: number): number {
  const rest = suffixSums(lexemes);
  const from = (i: number, missing: number, taken: boolean): number => {
    if (missing <= 0) return 1;
    const own = lexemes[i];
    if (own === undefined || (rest[i] ?? 0) < missing) return 0;
    if (i >= toldApart) return taken ? 1 : holdingAny(lexemes.slice(i));
    const without = from(i + 1, missing, taken);
    const withIt = from(i + 1, missing - own.share, true);
    return own.likelihood * withIt + (1 - own.likelihood) * without;
  };
  return score <= 0 ? holdingAny(lexemes) : from(0, score, false);
}

/** The lowest score whose requirement no more than `share` of documents are expected to fulfil. */
export function scoreOfShare(lexemes: readonly WeightedLexeme[], share: number): number {
  let low = 0;
  let high = 1;
  for (let i = 0; i < 12; i++) {
    const middle = (low + high) / 2;
    if (expectedShare(lexemes, middle) <= share) high = middle;
    else low = middle;
  }
  return high;
}

function holdingAny(lexemes: readonly WeightedLexeme[]): number {
  return 1 - lexemes.reduce((none, { likelihood }) => none * (1 - likelihood), 1);
}

function suffixSums(lexemes: readonly WeightedLexeme[]): number[] {
  let sum = 0;
  return lexemes
    .toReversed()
    .map(({ share }) => {
      sum += share;
      return sum;
    })
    .toReversed();
}

function either(ways: readonly Requirement[]): Requirement {
  const flat = ways.flatMap((one) => ("any" in one ? one.any : [one]));
  const [only] = flat;
  return only !== undefined && flat.length === 1 ? only : { any: flat };
}

function both(first: Requirement, second: Requirement): Requirement {
  return { all: [first, ...("all" in second ? second.all : [second])] };
}
