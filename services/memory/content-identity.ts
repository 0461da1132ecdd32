import { contentHash } from "../../shared/hash.ts";
import { nameBasedId, normalisedText } from "../../shared/text-identity.ts";

/**
 * What two insights share when they say the same; Session-Buddy compares its insights by the same
 * rule. Empty where nothing is left.
 */
export function insightKey(content: string): string {
  return normalisedText(content);
}

/**
 * The id of the memory that holds an insight: equal insights of a tenant share it, also with those
 * that ingestion brings in from Session-Buddy (migration/target-memory.ts there).
 */
export function insightMemoryId(content: string): string {
  return nameBasedId(`insight:${insightKey(content)}`);
}

/** The id of the memory by which a repository learns an insight that a workflow shares. */
export function sharedInsightMemoryId(workflowId: string, repoId: string, content: string): string {
  return nameBasedId(`shared:${JSON.stringify([workflowId, repoId, insightKey(content)])}`);
}

/** The id of the memory that makes a workflow execution searchable. */
export function workflowMemoryId(workflowId: string): string {
  return nameBasedId(`workflow:${workflowId}`);
}

const oddWhiteSpace = /[^\S ]|\s\s/;

/**
 * What two search results share when they are the same text: white space collapsed, canonical
 * Unicode. Punctuation and case stay, since `a < b` and `a > b` are not the same passage.
 */
export function resultKey(content: string): string {
  const text = content.normalize("NFC");
  // Most texts have nothing but single blanks, and looking is cheaper than replacing.
  return (oddWhiteSpace.test(text) ? text.replace(/\s+/g, " ") : text).trim();
}

/**
 * The scope in which equal turns share a memory: one agent's session. Hashed, since the ids may be
 * longer together than a scope may be.
 */
export function turnDedupScope(agentId: string, sessionId: string): string {
  return `turn:${contentHash(JSON.stringify([agentId, sessionId]))}`;
}
