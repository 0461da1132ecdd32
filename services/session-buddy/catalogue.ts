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
  readonly text = new TextIndex();
  /** Distinct contents by their hash, blank ones left out. */
  readonly contents = new Map<string, string>();
  /** Tenants that have records of their own. */
  readonly #tenants = new Set<string>();
  readonly #byIdentity = new Map<string, string>();
  readonly #byRequest = new Map<string, { id: string; identity: string }>();

  /** Adds records; pauses between them, so that other calls get their turn. */
  async add(records: readonly StoredRecord[], breathe: Breathe = createBreathe()): Promise<void> {
    for (const record of records) {
      const found: string[] = [];
      for (const piece of pieces(record.content)) {
        for (const word of words(piece)) found.push(word);
        await breathe();
      }
      // From here on nothing waits: a search between two records sees whole entries only.
      this.text.add(found);
      const hash = contentHash(record.content);
      const { tenant, requestId } = markOf(record.metadata);
      this.entries.push({ record, hash, tenant });
      if (tenant !== "") this.#tenants.add(tenant);
      if (!this.contents.has(hash) && record.content.trim() !== "") {
        this.contents.set(hash, record.content);
      }
      this.#remember(record, tenant, requestId);
    }
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
