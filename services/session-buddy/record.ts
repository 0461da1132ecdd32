/** What kind of thing a record of Session-Buddy is. */
export type RecordKind = "reflection" | "conversation" | "insight" | "entity";

/** The types that Session-Buddy's own extractor knows. */
export const insightTypes = [
  "pattern",
  "architecture",
  "best_practice",
  "gotcha",
  "general",
] as const;
export type InsightType = (typeof insightTypes)[number];

/** A row that a record was read from. */
export interface Origin {
  /** `A` to `F` or `KG`. */
  readonly era: string;
  /** The file's name, without its folder. */
  readonly file: string;
  /** With its schema where that is not `main`. */
  readonly table: string;
  readonly id: string;
}

/** A row that is no record, and why. */
export interface RowFault extends Origin {
  /** For people. */
  readonly reason: string;
}

/** A record of Session-Buddy, of whatever layout, in one form. */
export interface StoredRecord {
  readonly id: string;
  readonly kind: RecordKind;
  /** Decoded; see stored-text.ts. */
  readonly content: string;
  readonly tags: readonly string[];
  /** Empty: none. */
  readonly project: string;
  /** The collection or namespace. Empty: none. */
  readonly collection: string;
  /** Empty: not an insight. */
  readonly insightType: string;
  readonly confidence: number | undefined;
  /** JSON as stored, not parsed: most records are never shown. Empty: none. */
  readonly metadata: string;
  /** Microseconds since 1970 UTC. */
  readonly createMicros: number | undefined;
  readonly updateMicros: number | undefined;
  /** The layout it was read from, `A` to `F` or `KG`. */
  readonly era: string;
  /** The rows that say the same: first the one it was read from, then those of other layouts. */
  readonly origins: readonly Origin[];
}

/** An insight or reflection that somebody wants stored; its fields are checked already. */
export interface Draft {
  readonly kind: "insight" | "reflection";
  readonly content: string;
  readonly tags: readonly string[];
  /** Empty: none. */
  readonly project: string;
  /** Makes a repeated call safe within its tenant. Empty: none. */
  readonly requestId: string;
  /** Who stores it, and finds it. */
  readonly tenant: string;
  readonly metadata: JsonObject;
  /** What only an insight has. */
  readonly insight?: {
    readonly type: InsightType;
    readonly confidence: number;
    readonly quality: number;
    /** Empty: none. */
    readonly sourceConversationId: string;
  };
}

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue;
}
