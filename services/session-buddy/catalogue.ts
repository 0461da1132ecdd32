import { contentHash } from "../../shared/hash.ts";
import { type Breathe, createBreathe } from "./event-loop.ts";
import { markOf } from "./mark.ts";
import { normalisedHash } from "./normalise.ts";
import type { Draft, StoredRecord } from "./record.ts";
import { TextIndex } from "./text-index.ts";
import { pieces, words } from "./words.ts";

/** A record with what the catalogue knows about it. */
export interface Entry {
  readonly record: StoredRecord;
  /** SHA-256 of the content; the side index knows records by it. */
  readonly hash: string;
  /** Whose it is; nobody else finds it. Empty: everyone's. */
  readonly tenant: string;
}

/** What makes a second record the same as a first one. */
type Identity = Pick<StoredRecord, "kind" | "project" | "content">;

/**
 * All records of the file in memory, with what searching and de-duplicating need. Searches read it
 * instead of the file, so that the file is held only while a changed one is read.
 */
export class Catalogue {
  readonly entries: Entry[] = [];
  /** Those of the entries, in their order. */
  readonly hashes: string[] = [];
  readonly text = new TextIndex();
  /** Distinct contents by their hash, blank ones left out. */
  readonly contents = new Map<string, string>();
  /** Which documents have a content, by its hash. */
  readonly #documents = new Map<string, number | number[]>();
  /** Tenants that have records of their own. */
  readonly #tenants = new Set<string>();
  readonly #byIdentity = new Map<string, string>();
  readonly #byRequest = new Map<string, { id: string; identity: string }>();
  /** Where records are that wait for the file, or did. */
  readonly #queued = new Map<string, number>();

  /** Adds records; pauses between them, so that other calls get their turn. */
  async add(records: readonly StoredRecord[], breathe: Breathe = createBreathe()): Promise<void> {
    for (const record of records) await this.#add(record, breathe);
  }

  async #add(record: StoredRecord, breathe: Breathe): Promise<void> {
    const found: string[] = [];
    for (const piece of pieces(record.content)) {
      for (const word of words(piece)) found.push(word);
      await breathe();
    }
    this.#insert(record, found);
  }

  /** Nothing waits here: a search between two records sees whole entries only. */
  #insert(record: StoredRecord, found: readonly string[]): number {
    const document = this.text.add(found);
    const hash = contentHash(record.content);
    const { tenant, requestId } = markOf(record.metadata);
    this.entries.push({ record, hash, tenant });
    this.hashes.push(hash);
    const others = this.#documents.get(hash);
    if (others === undefined) this.#documents.set(hash, document);
    else if (typeof others === "number") this.#documents.set(hash, [others, document]);
    else others.push(document);
    if (tenant !== "") this.#tenants.add(tenant);
    if (!this.contents.has(hash) && record.content.trim() !== "") {
      this.contents.set(hash, record.content);
    }
    this.#remember(record, tenant, requestId);
    return document;
  }

  /**
   * Adds records that wait for the file, at once; one that the file has already stays the file's.
   * Their texts are short enough for that.
   */
  addQueued(records: readonly StoredRecord[]): void {
    const ids = this.ids();
    for (const record of records) {
      if (this.#queued.has(record.id)) continue;
      const document = ids.has(record.id)
        ? this.entries.findIndex((entry) => entry.record.id === record.id)
        : this.#insert(record, words(record.content));
      this.#queued.set(record.id, document);
    }
  }

  hasQueued(id: string): boolean {
    return this.#queued.has(id);
  }

  /** Adds records of the file; one that waited becomes what the file has. */
  async settle(records: readonly StoredRecord[]): Promise<void> {
    const breathe = createBreathe();
    for (const record of records) {
      const document = this.#queued.get(record.id);
      const waiting = document === undefined ? undefined : this.entries[document];
      if (document === undefined || waiting?.record.id !== record.id) {
        await this.#add(record, breathe);
      } else this.entries[document] = { ...waiting, record };
    }
  }

  /** Of all records; made anew, to be asked often. */
  ids(): ReadonlySet<string> {
    return new Set(this.entries.map(({ record }) => record.id));
  }

  /** The documents with this content. */
  documentsOf(hash: string): readonly number[] {
    const documents = this.#documents.get(hash) ?? [];
    return typeof documents === "number" ? [documents] : documents;
  }

  /** Whether other tenants than this one have records of their own. */
  hasOthersThan(tenant: string): boolean {
    return this.#tenants.size > (this.#tenants.has(tenant) ? 1 : 0);
  }

  /**
   * The id of the record that this draft repeats, by its request id or by its text: one of the same
   * tenant's, else one of everyone's. Another tenant's would be out of the caller's sight.
   */
  find(draft: Draft): { id: string; sameText: boolean } | undefined {
    const identity = identityOf(draft, draft.tenant);
    const request = this.#byRequest.get(requestKey(draft.tenant, draft.requestId));
    if (draft.requestId !== "" && request !== undefined) {
      return { id: request.id, sameText: request.identity === identity };
    }
    const id = this.#byIdentity.get(identity) ?? this.#byIdentity.get(identityOf(draft, ""));
    return id === undefined ? undefined : { id, sameText: true };
  }

  #remember(record: StoredRecord, tenant: string, requestId: string): void {
    if (record.kind !== "insight" && record.kind !== "reflection") return;
    const identity = identityOf(record, tenant);
    const known = this.#byIdentity.get(identity);
    // Of several equal ones the smallest id answers, whatever order the file gives.
    if (known === undefined || record.id < known) this.#byIdentity.set(identity, record.id);
    if (requestId === "") return;
    this.#byRequest.set(requestKey(tenant, requestId), { id: record.id, identity });
  }
}

/** Within one tenant, kind and project: an insight shared with a second one is a second record. */
function identityOf({ kind, project, content }: Identity, tenant: string): string {
  return `${tenant}\n${kind}\n${project}\n${normalisedHash(content)}`;
}

function requestKey(tenant: string, requestId: string): string {
  return `${tenant}\n${requestId}`;
}
