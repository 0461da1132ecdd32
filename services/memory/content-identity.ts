import { v5 } from "uuid";
import { contentHash } from "../../shared/hash.ts";

/** Fixed for ever: ids made under it are stored. */
const namespace = "6f0c8d5e-3c0b-5b5a-9a53-0d5f5d7c6e21";

/**
 * What two insights share when they say the same: lower case, without punctuation, white space
 * collapsed. Session-Buddy compares its insights by the same rule. Empty where nothing is left.
 */
export function insightKey(content: string): string {
  return content
    .toLowerCase()
    .replace(/[.,!?;:"'()[\]{}<>/-]/g, "")
    .replace(/\s+/g, " ")
    .trim();
}

/** The id of the memory that holds an insight: equal insights of a tenant share it. */
export function insightMemoryId(content: string): string {
  return v5(`insight:${insightKey(content)}`, namespace);
}

/** The id of the memory by which a repository learns an insight that a workflow shares. */
export function sharedInsightMemoryId(workflowId: string, repoId: string, content: string): string {
  return v5(`shared:${JSON.stringify([workflowId, repoId, insightKey(content)])}`, namespace);
}

/** The id of the memory that makes a workflow execution searchable. */
export function workflowMemoryId(workflowId: string): string {
  return v5(`workflow:${workflowId}`, namespace);
}

/**
 * What two search results share when they are the same text: white space collapsed, canonical
 * Unicode. Punctuation and case stay, since `a < b` and `a > b` are not the same passage.
 */
export function resultKey(content: string): string {
  return contentHash(content.normalize("NFC").replace(/\s+/g, " ").trim());
}

/**
 * The scope in which equal turns share a memory: one agent's session. Hashed, since the ids may be
 * longer together than a scope may be.
 */
export function turnDedupScope(agentId: string, sessionId: string): string {
  return `turn:${contentHash(JSON.stringify([agentId, sessionId]))}`;
}
