import type { PeerCall } from "./deadline.ts";
import type { InsightType } from "./insight-extraction.ts";
import type { JsonObject, MemoryType, Micros, NewMemory, StoredMemory } from "./memory.ts";
import type { Period } from "./named-time.ts";
import type { ProjectDependency, ProjectGroup } from "./project.ts";

export type VectorValues = readonly number[];

/** The embedding service, as the domain needs it. Failures are DomainErrors. */
export interface Embedder {
  /**
   * Embeds 1 to 1,000 texts with the named model; empty: the service's default. One vector per
   * text, in order; undefined for a text that the model refused.
   */
  embed(
    call: PeerCall,
    request: {
      readonly model: string;
      readonly purpose: "document" | "query";
      readonly texts: readonly string[];
    },
  ): Promise<{
    readonly model: string;
    readonly vectors: readonly (VectorValues | undefined)[];
  }>;
}

/** The vector of a content as a whole, and those of its passages where it is long. */
export interface ContentVector {
  readonly values: VectorValues;
  /** Where each stands: characters of the content. */
  readonly passages: readonly {
    readonly values: VectorValues;
    readonly start: number;
    readonly end: number;
  }[];
}

/** A memory with its vector, where it has one. */
export interface DocumentWrite {
  readonly memory: NewMemory;
  readonly vector: ContentVector | undefined;
}

/** A vector for a document that is stored, and the content that it was made of. */
export interface VectorWrite {
  readonly id: string;
  readonly content: string;
  readonly vector: ContentVector;
}

/** New values for a document; see `Documents.change`. */
export interface DocumentChange {
  readonly id: string;
  readonly content?: string;
  readonly vector?: ContentVector | undefined;
  readonly metadata: JsonObject;
  readonly expireTime: Micros | undefined;
  readonly ifUpdateTime: Micros | undefined;
}

/** What a write did to one document. */
export type DocumentOutcome =
  | { readonly kind: "created" | "updated" | "deduplicated"; readonly id: string }
  | { readonly kind: "refused"; readonly error: unknown };

declare const callerFilter: unique symbol;
/** A condition of the caller, made by convert.ts; the domain only passes it on. */
export type CallerFilter = { readonly [callerFilter]: true };

/** Which memories to consider. Empty texts and lists: any. */
export interface Scope {
  readonly memoryTypes: readonly MemoryType[];
  readonly agentId: string;
  readonly repoId: string;
  readonly workflowId: string;
  readonly sessionId: string;
  readonly filter: CallerFilter | undefined;
  /** Only what was made in this time; undefined: whenever. */
  readonly period?: Period | undefined;
}

/** A memory that a search found, from whatever source. */
export interface Hit {
  readonly id: string;
  readonly content: string;
  /** 0 to 1, the same measure in every source. */
  readonly score: number;
  readonly vectorScore: number | undefined;
  readonly textScore: number | undefined;
  readonly memoryType: MemoryType;
  readonly sourceSystem: string;
  readonly agentId: string;
  readonly workflowId: string;
  readonly repoId: string;
  readonly metadata: JsonObject;
  readonly createTime: Micros | undefined;
}

/** The query's vector and the model that made it. */
export interface QueryVector {
  readonly model: string;
  readonly values: VectorValues;
}

/** The vector store's collection `memories`, as the domain needs it. Failures are DomainErrors. */
export interface Documents {
  /** The model whose vectors the collection holds; empty until the first is written. */
  embeddingModel(call: PeerCall): Promise<string>;
  /**
   * Writes 1 to 1,000 documents in one transaction. `model` made the vectors. `idsAreNew` where the
   * caller has just made the ids: a lone document is then written in less time.
   */
  upsert(
    call: PeerCall,
    documents: readonly DocumentWrite[],
    model: string,
    options?: { readonly idsAreNew: boolean },
  ): Promise<DocumentOutcome[]>;
  /**
   * Writes nothing but the vectors, of 1 to 1,000 documents. Refused as `aborted` where the content
   * is another by now, as `not_found` where there is no such document.
   */
  writeVectors(
    call: PeerCall,
    vectors: readonly VectorWrite[],
    model: string,
  ): Promise<DocumentOutcome[]>;
  /**
   * Changes fields of a document, all others stay: a new content, with its vector where there is
   * one; metadata; the time of expiry, undefined for none. `model` made the vector. Refused as
   * `aborted` where its time of update is another than `ifUpdateTime`, as `not_found`, and as
   * `already_exists` where another document has the content.
   */
  change(call: PeerCall, change: DocumentChange, model: string): Promise<StoredMemory>;
  /**
   * Reads documents by id, unknown ones left out. Tells of vectors only where asked. Fails with
   * `resource_exhausted` where they do not fit into one message.
   */
  get(
    call: PeerCall,
    ids: readonly string[],
    options?: { readonly tellVectors?: boolean },
  ): Promise<StoredMemory[]>;
  list(
    call: PeerCall,
    page: {
      readonly filter: CallerFilter | undefined;
      readonly pageSize: number;
      readonly pageToken: string;
      /** As in the contract; empty: by id. */
      readonly orderBy: string;
    },
  ): Promise<{ readonly memories: StoredMemory[]; readonly nextPageToken: string }>;
  /** Deletes by id; how many were there. */
  delete(call: PeerCall, ids: readonly string[]): Promise<number>;
  /** By words and vector, or by words alone where there is no vector. Best first. */
  search(
    call: PeerCall,
    search: {
      readonly text: string;
      readonly vector: QueryVector | undefined;
      readonly scope: Scope;
      readonly limit: number;
      readonly minScore: number;
    },
  ): Promise<Hit[]>;
}

/** An insight on its way to Session-Buddy. */
export interface InsightToDeliver {
  /** The memory of type insight that holds it. */
  readonly memoryId: string;
  readonly content: string;
  readonly type: InsightType;
  readonly topics: readonly string[];
  readonly confidence: number;
  readonly quality: number;
  /** The repository that it was learned in. Empty: none. */
  readonly project: string;
  /** The session that it was told in. Empty: none. */
  readonly conversationId: string;
  readonly metadata: JsonObject;
}

/** The bridge to Session-Buddy, as the domain needs it. Failures are DomainErrors. */
export interface Bridge {
  /** Whether records of Session-Buddy have all that the filter asks for, if only as absent. */
  canTest(filter: CallerFilter): boolean;
  /** `memoryTypes` empty: all kinds of records. */
  search(
    call: PeerCall,
    search: {
      readonly query: string;
      readonly vector: QueryVector | undefined;
      readonly memoryTypes: readonly MemoryType[];
      readonly project: string;
      /** One that `canTest` takes. */
      readonly filter: CallerFilter | undefined;
      readonly limit: number;
      readonly minScore: number;
    },
  ): Promise<{ readonly hits: Hit[]; readonly stale: string | undefined }>;
  /**
   * Hands an insight over; safe to repeat under the same request id. Resolves once the bridge
   * holds it durably: `written`, or else in the bridge's own queue, from which it gets there alone.
   */
  storeInsight(
    call: PeerCall,
    insight: InsightToDeliver,
    requestId: string,
  ): Promise<{ readonly written: boolean }>;
}

/** Groups and dependencies of projects, as the bridge keeps them. Failures are DomainErrors. */
export interface ProjectRegister {
  createGroup(call: PeerCall, group: ProjectGroup): Promise<ProjectGroup>;
  /** By name; those that hold `project`, all where it is empty. */
  groups(call: PeerCall, project: string): Promise<readonly ProjectGroup[]>;
  addDependency(call: PeerCall, dependency: ProjectDependency): Promise<ProjectDependency>;
  /** Those of a project, in either direction, by source, target and type. */
  dependencies(call: PeerCall, project: string): Promise<readonly ProjectDependency[]>;
}
