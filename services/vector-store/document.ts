import { createHash } from "node:crypto";
import type { Instant } from "./instant.ts";
import type { JsonObject } from "./json.ts";
import type { NewPassage } from "./passage.ts";

export const memoryTypes = ["agent", "rag", "workflow", "insight"] as const;
export type MemoryTypeName = (typeof memoryTypes)[number];

/** To whom a document belongs; each part is absent where it belongs to none. */
export interface Owner {
  readonly agentId: string | undefined;
  readonly workflowId: string | undefined;
  readonly repoId: string | undefined;
}

/** A document to write; whatever it holds is within its bounds. */
export interface NewDocument extends Owner {
  /** The id to store it under, given by the caller or made for it. */
  readonly id: string;
  /** Whether the caller gave the id, so that another document may have it already. */
  readonly idGiven: boolean;
  readonly content: string;
  readonly vector: ArrayLike<number> | undefined;
  /** Only beside a vector; default none. */
  readonly passages?: readonly NewPassage[];
  readonly memoryType: MemoryTypeName;
  readonly sourceSystem: string;
  /** A JSON object as text. */
  readonly metadata: string;
  readonly contentHash: string;
  /** As stored: made by `dedupScopeOf`. */
  readonly dedupScope: string;
  /** When the content came to be, where the caller knows; never later than now. */
  readonly createTime: Instant | undefined;
  readonly expireTime: Instant | undefined;
}

/** A document as it is stored. */
export interface StoredDocument extends Owner {
  readonly id: string;
  readonly content: string;
  /** Absent where it has none, or where it was not asked for. */
  readonly vector: Float32Array | undefined;
  readonly memoryType: MemoryTypeName;
  readonly sourceSystem: string;
  readonly metadata: JsonObject;
  readonly contentHash: string;
  readonly createTime: Instant;
  readonly updateTime: Instant;
  readonly expireTime: Instant | undefined;
}

/** What a write did with one document. */
export type WriteResult =
  | { readonly outcome: "created" | "updated" | "deduplicated"; readonly id: string }
  /** Refused: the document `id` has this content already, in the same scope. */
  | { readonly outcome: "duplicate_content"; readonly id: string };

/** A vector for a document that exists, made from the content of this hash. */
export interface NewVector {
  readonly id: string;
  readonly contentHash: string;
  readonly vector: ArrayLike<number>;
  /** They take the place of those that are stored; default none. */
  readonly passages?: readonly NewPassage[];
}

/** What became of a vector; but for the first, nothing was written. */
export type VectorOutcome = "updated" | "content_changed" | "not_found";

/**
 * What stands for a scope in the store: the caller's name for it, or else the owner. The two
 * cannot be mistaken for each other, and both are short enough for an index, whatever they hold.
 */
export function dedupScopeOf(named: string, owner: Owner): string {
  if (named !== "") return `named:${named}`;
  const parts = [owner.agentId, owner.workflowId, owner.repoId];
  if (parts.every((part) => part === undefined)) return "owner:";
  const digest = createHash("sha256").update(JSON.stringify(parts.map((part) => part ?? "")));
  return `owner:${digest.digest("hex").slice(0, 32)}`;
}
