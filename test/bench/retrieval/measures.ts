/** How good a ranked list is, from 0 to 1. */
export interface Measures {
  /** The share of the evidence among the first 5, the first 10. */
  readonly recall5: number;
  readonly recall10: number;
  /** One over the rank of the first evidence among the first 10; 0 where there is none. */
  readonly mrr: number;
}

export function measure(found: readonly string[], evidence: ReadonlySet<string>): Measures {
  const among = (count: number) =>
    new Set(found.slice(0, count).filter((id) => evidence.has(id))).size / evidence.size;
  const first = found.slice(0, 10).findIndex((id) => evidence.has(id));
  return { recall5: among(5), recall10: among(10), mrr: first < 0 ? 0 : 1 / (first + 1) };
}

/** The mean over questions. */
export function mean(list: readonly Measures[]): Measures {
  const of = (value: (one: Measures) => number) =>
    list.reduce((sum, one) => sum + value(one), 0) / list.length;
  return {
    recall5: of(({ recall5 }) => recall5),
    recall10: of(({ recall10 }) => recall10),
    mrr: of(({ mrr }) => mrr),
  };
}
