import { maxAnswerBytes } from "../../services/vector-store/answer-budget.ts";
import { dedupScopeOf, type NewDocument } from "../../services/vector-store/document.ts";
import type { SearchBy, SearchQuery } from "../../services/vector-store/search.ts";
import type { DocumentWrite } from "../../services/vector-store/store.ts";
import { contentHash } from "../../shared/hash.ts";
import { newId } from "../../shared/ids.ts";

export const collection = "memories";
export const model = "model-a";

/** A new document; without an `id` one is made for it, as the service does. */
export function newDocument(
  content: string,
  given: Partial<Omit<NewDocument, "content" | "contentHash" | "idGiven">> = {},
): NewDocument {
  const owner = { agentId: given.agentId, workflowId: given.workflowId, repoId: given.repoId };
  return {
    vector: undefined,
    memoryType: "rag",
    sourceSystem: "test",
    metadata: "{}",
    createTime: undefined,
    expireTime: undefined,
    dedupScope: dedupScopeOf("", owner),
    ...owner,
    ...given,
    id: given.id ?? newId(),
    idGiven: given.id !== undefined,
    content,
    contentHash: contentHash(content),
  };
}

export function writeOf(...documents: readonly NewDocument[]): DocumentWrite {
  return { collection, model, documents };
}

export function searchOf(
  by: SearchBy,
  given: Partial<Omit<SearchQuery, "mode" | "vector" | "text">> = {},
): SearchQuery {
  return {
    filter: undefined,
    limit: 10,
    minScore: 0,
    model: undefined,
    includeVectors: false,
    maxBytes: maxAnswerBytes,
    ...given,
    ...by,
  };
}

/** A vector of 768 components, the same for the same seed; rounded as it is stored. */
export function vectorOf(seed: number): number[] {
  let state = (seed + 1) * 2_654_435_761;
  return Array.from({ length: 768 }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return Math.fround(state / 2 ** 31);
  });
}

export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let dot = 0;
  let lengthA = 0;
  let lengthB = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i] ?? 0;
    const y = b[i] ?? 0;
    dot += x * y;
    lengthA += x * x;
    lengthB += y * y;
  }
  return dot / Math.sqrt(lengthA * lengthB);
}
