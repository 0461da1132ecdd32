import type { StoredRecord } from "../record.ts";

/** A reflection that has nothing but its content. */
export function reflection(id: string, content: string): StoredRecord {
  return {
    id,
    kind: "reflection",
    content,
    tags: [],
    project: "",
    collection: "",
    insightType: "",
    confidence: undefined,
    metadata: "",
    createMicros: undefined,
    updateMicros: undefined,
    era: "F",
    origins: [],
  };
}
