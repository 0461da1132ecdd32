import { contentHash } from "../../shared/hash.ts";
import { canonicalJson } from "./canonical-json.ts";
import { insightMemoryId, sharedInsightMemoryId } from "./content-identity.ts";
import { FieldFixedError } from "./errors.ts";
import type { JsonObject, Micros, StoredMemory } from "./memory.ts";

/** What a caller wants to be different; what is absent stays. */
export interface MemoryChange {
  readonly content?: string;
  /** In place of all metadata but what the service itself keeps there. */
  readonly metadata?: JsonObject;
  /** `null`: it does not expire any more. */
  readonly expireTime?: Micros | null;
  readonly pinned?: boolean;
}

/** All that a change can touch. */
export interface MemoryState {
  readonly content: string;
  readonly metadata: JsonObject;
  readonly expireTime: Micros | undefined;
}

/** What else holds a memory, so that some of its fields follow that. */
export interface MemoryLinks {
  readonly turn: boolean;
  readonly execution: boolean;
}

/** The metadata that says which turn a memory holds: not the caller's to change. */
const turnEntries = ["session_id", "role", "turn_id"] as const;

export function isPinned(metadata: JsonObject): boolean {
  return metadata["pinned"] === true;
}

/** The metadata with its pin as told; `undefined` leaves what it says itself. */
export function withPin(metadata: JsonObject, pinned: boolean | undefined): JsonObject {
  if (pinned === undefined || pinned === isPinned(metadata)) return metadata;
  const { pinned: _, ...rest } = metadata;
  return pinned ? { ...rest, pinned: true } : rest;
}

/** The memory's state after the change. Throws FieldFixedError where a field follows another thing. */
export function changed(
  memory: StoredMemory,
  change: MemoryChange,
  links: MemoryLinks,
): MemoryState {
  const content = change.content ?? memory.content;
  const metadata = metadataAfter(memory, change, links);
  const pinned = isPinned(metadata);
  // A pinned memory is kept whatever its age: the pin takes the time away.
  const told =
    change.expireTime === undefined ? memory.expireTime : (change.expireTime ?? undefined);
  const expireTime = pinned && change.expireTime === undefined ? undefined : told;
  const after = { content, metadata, expireTime };
  if (isState(memory, after)) return after;
  if (links.execution)
    throw new FieldFixedError(firstDifference(memory, after), "workflow_execution");
  if (content !== memory.content) {
    if (links.turn) throw new FieldFixedError("content", "conversation_turn");
    if (isInsight(memory)) throw new FieldFixedError("content", "insight");
  }
  if (links.turn && expireTime !== memory.expireTime && expireTime !== undefined) {
    throw new FieldFixedError("expire_time", "conversation_turn");
  }
  if (pinned && expireTime !== undefined) throw new FieldFixedError("expire_time", "pinned");
  return after;
}

function metadataAfter(
  memory: StoredMemory,
  { metadata, pinned }: MemoryChange,
  links: MemoryLinks,
): JsonObject {
  if (metadata === undefined) return withPin(memory.metadata, pinned);
  const kept: JsonObject = {};
  for (const entry of links.turn ? turnEntries : []) {
    const value = memory.metadata[entry];
    if (value !== undefined) kept[entry] = value;
  }
  const pin = pinned ?? ("pinned" in metadata ? undefined : isPinned(memory.metadata));
  return withPin({ ...metadata, ...kept }, pin);
}

/** Its id is made of its content. */
function isInsight({ id, content, memoryType, workflowId, repoId }: StoredMemory): boolean {
  if (memoryType !== "insight") return false;
  return (
    id === insightMemoryId(content) || id === sharedInsightMemoryId(workflowId, repoId, content)
  );
}

function firstDifference(memory: StoredMemory, after: MemoryState): string {
  if (memory.content !== after.content) return "content";
  return memory.expireTime === after.expireTime ? "metadata" : "expire_time";
}

/** Whether the memory is in this state. */
export function isState(memory: MemoryState, state: MemoryState): boolean {
  return (
    memory.content === state.content &&
    memory.expireTime === state.expireTime &&
    canonicalJson(memory.metadata) === canonicalJson(state.metadata)
  );
}

/**
 * The same for two looks at a memory that nobody has changed between. A vector that follows gives
 * the document another time of update, and no other etag.
 */
export function etagOf({
  id,
  content,
  metadata,
  expireTime,
}: MemoryState & { readonly id: string }): string {
  const state = [id, contentHash(content), canonicalJson(metadata), expireTime?.toString() ?? ""];
  return contentHash(state.join("\n")).slice(0, 32);
}
