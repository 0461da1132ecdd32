/** What kind of thing a memory records. */
export const memoryTypes = ["agent", "rag", "workflow", "insight"] as const;
export type MemoryType = (typeof memoryTypes)[number];

/** Microseconds since the epoch: what PostgreSQL keeps, without loss. */
export type Micros = bigint;

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue;
}

/** A memory before it is stored. Empty texts mean "none", as in the contract. */
export interface NewMemory {
  readonly id: string;
  /** 1 byte to 1 MiB of UTF-8, without NUL. */
  readonly content: string;
  readonly memoryType: MemoryType;
  readonly sourceSystem: string;
  readonly agentId: string;
  readonly workflowId: string;
  readonly repoId: string;
  readonly metadata: JsonObject;
  /** Time of origin; undefined: now. */
  readonly createTime: Micros | undefined;
  readonly expireTime: Micros | undefined;
  /** Within which memories equal content is the same. Empty: type, agent, workflow and repo. */
  readonly dedupScope: string;
}

/** A memory as the vector store holds it. */
export interface StoredMemory {
  readonly id: string;
  readonly content: string;
  readonly memoryType: MemoryType;
  readonly sourceSystem: string;
  readonly agentId: string;
  readonly workflowId: string;
  readonly repoId: string;
  readonly metadata: JsonObject;
  readonly createTime: Micros | undefined;
  readonly expireTime: Micros | undefined;
  readonly updateTime: Micros | undefined;
  readonly contentHash: string;
  /** Known only where vectors were asked for. */
  readonly hasVector: boolean;
}

/** READY: found by its vector too. PENDING: found by its words, its vector follows by itself. */
export type EmbeddingState = "ready" | "pending";

export type Role = "user" | "assistant";

/** One turn of a conversation as stored. */
export interface Turn {
  readonly id: string;
  readonly agentId: string;
  readonly sessionId: string;
  /** Its place in the session, from 1. */
  readonly sequence: bigint;
  readonly role: Role;
  readonly content: string;
  readonly metadata: JsonObject;
  readonly memoryId: string;
  readonly createTime: Micros;
}

/** `source_system` of what this service itself writes. */
export const ownSourceSystem = "mahavishnu";
