import type { ConversationStore } from "./conversation-store.ts";
import type { PeerCall } from "./deadline.ts";

interface Known {
  readonly any: boolean;
  /** By performance.now(). */
  readonly until: number;
}

/** A tenant that has turns keeps them, as a rule; that it has none any more costs time only. */
const someMs = 60_000;
/** Another process may store the first turn: searches of this one know of it after so long. */
const noneMs = 1_000;
const mostTenants = 1_000;

/** Which tenants have turns, so that searches of the others do without what turns need. */
export class KnownTurns {
  readonly #store: Pick<ConversationStore, "hasTurns">;
  readonly #known = new Map<string, Known>();

  constructor(store: Pick<ConversationStore, "hasTurns">) {
    this.#store = store;
  }

  /** Turns of the tenant were seen, or are about to be there. */
  noted(tenant: string): void {
    this.#keep(tenant, { any: true, until: performance.now() + someMs });
  }

  /** Whether the tenant has turns, or had some a moment ago. */
  async any({ tenant, signal }: Pick<PeerCall, "tenant" | "signal">): Promise<boolean> {
    const known = this.#known.get(tenant);
    if (known !== undefined && known.until > performance.now()) return known.any;
    const any = await this.#store.hasTurns(tenant, signal);
    // What was noted meanwhile is newer.
    if (this.#known.get(tenant) === known) {
      this.#keep(tenant, { any, until: performance.now() + (any ? someMs : noneMs) });
    }
    return this.#known.get(tenant)?.any ?? any;
  }

  #keep(tenant: string, known: Known): void {
    if (this.#known.size >= mostTenants) this.#known.clear();
    this.#known.set(tenant, known);
  }
}
