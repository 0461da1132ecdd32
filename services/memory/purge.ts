import { sleep } from "../../shared/lifecycle.ts";
import type { Logger } from "../../shared/logging.ts";
import { type Call, within } from "./deadline.ts";
import type { OperationStore } from "./operation-store.ts";
import type { Documents } from "./ports.ts";
import type { UpdateStore } from "./update-store.ts";

export interface PurgeParts {
  readonly store: Pick<OperationStore, "purgeRequests"> &
    Pick<UpdateStore, "versionedMemories" | "forgetVersions">;
  readonly documents: Documents;
  /** False while database or vector store is away. */
  readonly mayWork: () => boolean;
  readonly logger: Logger;
}

const page = 100;
const budgetMs = 10_000;

/** Forgets, every now and then, what has outlived its time. */
export class Purge implements AsyncDisposable {
  readonly #parts: PurgeParts;
  readonly #everyMs: number;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(parts: PurgeParts, everyMs: number) {
    this.#parts = parts;
    this.#everyMs = everyMs;
    this.#running = this.#run(this.#stop.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { store, mayWork, logger } = this.#parts;
    while (!signal.aborted) {
      await sleep(this.#everyMs, signal).catch(() => {});
      if (signal.aborted || !mayWork()) continue;
      try {
        await store.purgeRequests(signal);
        await purgeVersions(this.#parts, signal);
      } catch (error) {
        if (!signal.aborted) logger.warn({ err: error }, "what is too old could not be removed");
      }
    }
  }
}

/**
 * Removes the versions of memories that are there no more: a deletion takes them along, but a
 * memory that expires is gone without a word. How many versions went.
 */
export async function purgeVersions(
  { store, documents }: Pick<PurgeParts, "store" | "documents">,
  signal: AbortSignal,
): Promise<number> {
  let removed = 0;
  let last: { readonly tenant: string; readonly memoryId: string } | undefined;
  for (;;) {
    const found = await store.versionedMemories(last, page, signal);
    last = found.at(-1);
    if (last === undefined) return removed;
    for (const [tenant, own] of Map.groupBy(found, (one) => one.tenant)) {
      const call: Call = { tenant, signal, deadline: undefined };
      const ids = own.map(({ memoryId }) => memoryId);
      const gone: string[] = [];
      // One by one: a memory may have 1 MiB, and a page of them more than a message.
      for (const id of ids) {
        const there = await within(call, budgetMs, (peerCall) => documents.get(peerCall, [id]));
        if (there.length === 0) gone.push(id);
      }
      removed += await store.forgetVersions(tenant, gone, signal);
    }
  }
}
