import { metadataOf } from "./draft-metadata.ts";
import { normalisedHash } from "./normalise.ts";
import type { Draft, StoredRecord } from "./record.ts";

/** A draft that waits for the file, with the id that its record will have. */
export interface QueuedWrite {
  readonly id: string;
  readonly draft: Draft;
  /** When it was queued, microseconds since 1970. */
  readonly queuedMicros: number;
}

/** Keeps queued writes where a killed process leaves them. */
export interface OutboxStore {
  /** In the order of queueing. */
  load(): Promise<QueuedWrite[]>;
  /** Durable when it resolves. */
  add(write: QueuedWrite): Promise<void>;
  remove(ids: readonly string[]): Promise<void>;
}

/**
 * Writes that wait until Session-Buddy's file is free, in their order. Each has its id from the
 * beginning: a write that is delivered twice, because the process died before it could be struck
 * out, is one record.
 */
export class Outbox {
  readonly #store: OutboxStore;
  #writes: readonly QueuedWrite[];

  private constructor(store: OutboxStore, writes: readonly QueuedWrite[]) {
    this.#store = store;
    this.#writes = writes;
  }

  static async open(store: OutboxStore): Promise<Outbox> {
    return new Outbox(store, await store.load());
  }

  get writes(): readonly QueuedWrite[] {
    return this.#writes;
  }

  /** The write that this draft repeats, by its request id or by its text. */
  find(draft: Draft): { id: string; sameText: boolean } | undefined {
    const own = this.#writes.filter((write) => write.draft.tenant === draft.tenant);
    const text = sameness(draft);
    if (draft.requestId !== "") {
      const same = own.find((write) => write.draft.requestId === draft.requestId);
      if (same !== undefined) return { id: same.id, sameText: sameness(same.draft) === text };
    }
    const same = own.find((write) => sameness(write.draft) === text);
    return same === undefined ? undefined : { id: same.id, sameText: true };
  }

  /** Durable when it resolves. */
  async add(write: QueuedWrite): Promise<void> {
    await this.#store.add(write);
    this.#writes = [...this.#writes, write];
  }

  async remove(ids: ReadonlySet<string>): Promise<void> {
    if (ids.size === 0) return;
    await this.#store.remove([...ids]);
    this.#writes = this.#writes.filter(({ id }) => !ids.has(id));
  }
}

/** As a search shows it while it waits. */
export function queuedRecord({ id, draft, queuedMicros }: QueuedWrite): StoredRecord {
  return {
    id,
    kind: draft.kind,
    content: draft.content,
    tags: draft.tags,
    project: draft.project,
    collection: "default",
    insightType: draft.insight?.type ?? "",
    confidence: draft.insight?.confidence ?? 0.5,
    metadata: JSON.stringify(metadataOf(draft)),
    createMicros: queuedMicros,
    updateMicros: undefined,
    era: "outbox",
    origins: [],
  };
}

const hashes = new WeakMap<Draft, string>();

/** Equal for drafts of one kind and project that say the same. */
function sameness(draft: Draft): string {
  const known = hashes.get(draft);
  if (known !== undefined) return known;
  const text = `${draft.kind}\n${draft.project}\n${normalisedHash(draft.content)}`;
  hashes.set(draft, text);
  return text;
}
