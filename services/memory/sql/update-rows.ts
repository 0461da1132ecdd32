import type { JsonObject, StoredMemory } from "../memory.ts";
import type { InsightToDeliver } from "../ports.ts";
import type { MemoryUpdate } from "../update-store.ts";
import {
  fromStoredDocument,
  type StoredDocumentPayload,
  toStoredDocument,
} from "./document-payload.ts";

/** A memory as the history keeps it. */
type Snapshot = Omit<StoredMemory, "createTime" | "expireTime" | "updateTime" | "hasVector"> & {
  readonly createTime: string | null;
  readonly expireTime: string | null;
  readonly updateTime: string | null;
};

/**
 * An update as the outbox keeps it. Documents and insights stand where those of operations do, so
 * that deletions find both.
 */
interface UpdatePayload {
  readonly documents: readonly StoredDocumentPayload[];
  readonly mainCount: 0;
  readonly insights: readonly InsightToDeliver[];
  readonly before: Snapshot;
  readonly after: {
    readonly content: string;
    readonly metadata: JsonObject;
    readonly expireTime: string | null;
  };
}

export function toUpdatePayload({
  documents,
  insights,
  before,
  after,
}: MemoryUpdate): UpdatePayload {
  return {
    documents: documents.map(toStoredDocument),
    mainCount: 0,
    insights,
    before: toSnapshot(before),
    after: { ...after, expireTime: textOf(after.expireTime) },
  };
}

export function toUpdate(id: string, memoryId: string, payload: unknown): MemoryUpdate {
  const { documents, insights, before, after } = payload as UpdatePayload;
  return {
    id,
    memoryId,
    documents: documents.map(fromStoredDocument),
    insights,
    before: fromSnapshot(before),
    after: { ...after, expireTime: microsOf(after.expireTime) },
  };
}

export function toSnapshot({
  hasVector: _,
  createTime,
  expireTime,
  updateTime,
  ...memory
}: StoredMemory): Snapshot {
  return {
    ...memory,
    createTime: textOf(createTime),
    expireTime: textOf(expireTime),
    updateTime: textOf(updateTime),
  };
}

export function fromSnapshot(snapshot: unknown): StoredMemory {
  const { createTime, expireTime, updateTime, ...memory } = snapshot as Snapshot;
  return {
    ...memory,
    createTime: microsOf(createTime),
    expireTime: microsOf(expireTime),
    updateTime: microsOf(updateTime),
    hasVector: false,
  };
}

function textOf(time: bigint | undefined): string | null {
  return time?.toString() ?? null;
}

function microsOf(text: string | null): bigint | undefined {
  return text === null ? undefined : BigInt(text);
}
