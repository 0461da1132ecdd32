import type { NewMemory } from "../memory.ts";

/** A document that waits to be written, as the outbox keeps it. */
export type StoredDocumentPayload = Omit<NewMemory, "createTime" | "expireTime"> & {
  readonly createTime: string | null;
  readonly expireTime: string | null;
};

export function toStoredDocument(memory: NewMemory): StoredDocumentPayload {
  return {
    ...memory,
    createTime: memory.createTime?.toString() ?? null,
    expireTime: memory.expireTime?.toString() ?? null,
  };
}

export function fromStoredDocument(memory: StoredDocumentPayload): NewMemory {
  return {
    ...memory,
    createTime: memory.createTime === null ? undefined : BigInt(memory.createTime),
    expireTime: memory.expireTime === null ? undefined : BigInt(memory.expireTime),
  };
}
