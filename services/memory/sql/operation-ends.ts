import { untilAborted } from "../../../shared/abortable.ts";
import type { Postgres } from "../../../shared/postgres/postgres.ts";
import { withRetry } from "../../../shared/postgres/retry.ts";

interface Ending {
  readonly tenant: string;
  readonly id: string;
  readonly resolve: (wasOpen: boolean) => void;
  readonly reject: (error: unknown) => void;
}

const mostAtOnce = 500;
/** So long those that nobody waits for gather for one statement. */
const gatherMs = 20;

/**
 * Ends operations that have nothing else to record. Those that come while a statement is under way
 * go together in the next one: under load that is most of them.
 *
 * The statement does not wait for the disk. Where the server dies before it is on it, the operation
 * is there again and is completed once more, which does no harm; and whatever is committed after it
 * takes it along to the disk, so that nothing newer can be undone.
 */
export class OperationEnds {
  readonly #postgres: Postgres;
  #waiting: Ending[] = [];
  #running = false;
  #gathering: NodeJS.Timeout | undefined;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
  }

  /** False where the operation is not there any more. */
  async end(tenant: string, id: string, signal?: AbortSignal): Promise<boolean> {
    const ended = this.#add(tenant, id);
    void this.#run();
    // Its caller may leave; the others' statement goes on.
    return await untilAborted(ended, signal);
  }

  /** As `end`, a moment later, for whoever does not wait. */
  async endSoon(tenant: string, id: string): Promise<boolean> {
    const ended = this.#add(tenant, id);
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      void this.#run();
    }, gatherMs);
    return await ended;
  }

  #add(tenant: string, id: string): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    this.#waiting.push({ tenant, id, resolve, reject });
    return promise;
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, mostAtOnce);
      this.#waiting = this.#waiting.slice(mostAtOnce);
      try {
        const ended = await withRetry(() => this.#end(batch));
        for (const { tenant, id, resolve } of batch) resolve(ended.has(keyOf(tenant, id)));
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#running = false;
  }

  async #end(batch: readonly Ending[]): Promise<ReadonlySet<string>> {
    const text = `delete from memory_outbox as item
      using unnest($1::text[], $2::text[]) as ended (tenant, id)
      where item.tenant = ended.tenant and item.id = ended.id
        and (select set_config('synchronous_commit', 'off', true)) is not null
      returning item.tenant, item.id`;
    const params = [batch.map(({ tenant }) => tenant), batch.map(({ id }) => id)];
    const { rows } = await this.#postgres.query<{ tenant: string; id: string }>(
      { name: "end-operations", text },
      params,
    );
    return new Set(rows.map(({ tenant, id }) => keyOf(tenant, id)));
  }
}

function keyOf(tenant: string, id: string): string {
  return JSON.stringify([tenant, id]);
}
