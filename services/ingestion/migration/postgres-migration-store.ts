import type { Postgres } from "../../../shared/postgres/postgres.ts";
import { type RetriedQuery, retriedQuery } from "../../../shared/postgres/retry.ts";
import type { Beat, Lease } from "../store.ts";
import type {
  MigrationEnd,
  MigrationKey,
  MigrationStore,
  NewMigration,
  OpenedMigration,
} from "./migration-store.ts";
import { type Checkpoint, type Figures, noFigures } from "./migration-tally.ts";

interface CheckpointRow {
  readonly id: string;
  readonly records: number;
  readonly digest: string;
  readonly figures: Figures;
}

interface RunningRow {
  readonly id: string;
  readonly remaining_ms: number;
}

const held = "tenant = $1 and id = $2 and lease_token = $3 and status = 'in_progress'";

/** The table session_buddy_migrations. */
export class PostgresMigrationStore implements MigrationStore {
  /** Every statement here may be repeated. */
  readonly #query: RetriedQuery;

  constructor(postgres: Postgres) {
    this.#query = retriedQuery(postgres);
  }

  async open(
    { tenant, id, file, timeZone, lease }: NewMigration,
    signal?: AbortSignal,
  ): Promise<OpenedMigration> {
    for (;;) {
      await this.#settle(tenant, file, signal);
      const [resumed] = await this.#query<CheckpointRow>(
        `update session_buddy_migrations
         set status = 'in_progress', message = '', ended_at = null, lease_token = $4,
           lease_until = clock_timestamp() + $5 * interval '1 ms'
         where tenant = $1 and source_time_zone = $3 and status in ('failed', 'cancelled')
           and id = (select max(id) from session_buddy_migrations where tenant = $1 and file = $2)
           and not exists (select from session_buddy_migrations
             where tenant = $1 and file = $2 and status = 'in_progress')
         returning id, records::float8, digest, figures`,
        [tenant, file, timeZone, lease.token, lease.ms],
        signal,
      );
      if (resumed !== undefined) return openedOf(resumed, true);
      const [inserted] = await this.#query<CheckpointRow>(
        `insert into session_buddy_migrations
           (tenant, id, file, source_time_zone, figures, lease_token, lease_until)
         values ($1, $2, $3, $4, $5, $6, clock_timestamp() + $7 * interval '1 ms')
         on conflict (tenant, file) where status = 'in_progress' do nothing
         returning id, records::float8, digest, figures`,
        [tenant, id, file, timeZone, JSON.stringify(noFigures), lease.token, lease.ms],
        signal,
      );
      if (inserted !== undefined) return openedOf(inserted, false);
      const [running] = await this.#query<RunningRow & CheckpointRow & { lease_token: string }>(
        `select id, records::float8, digest, figures, lease_token,
           greatest(0, extract(epoch from lease_until - clock_timestamp()) * 1000)::float8
             as remaining_ms
         from session_buddy_migrations
         where tenant = $1 and file = $2 and status = 'in_progress'`,
        [tenant, file],
        signal,
      );
      // One that ended meanwhile makes room.
      if (running === undefined) continue;
      // A repeated statement meets what it did itself.
      if (running.lease_token === lease.token) return openedOf(running, running.id !== id);
      const { id: other, remaining_ms: remainingMs } = running;
      return { kind: "running", running: { tenant, id: other, remainingMs } };
    }
  }

  /** What its holder left has failed; its checkpoint stays. */
  async #settle(tenant: string, file: string, signal: AbortSignal | undefined): Promise<void> {
    await this.#query(
      `update session_buddy_migrations
       set status = 'failed', message = 'its process is gone', ended_at = now()
       where tenant = $1 and file = $2 and status = 'in_progress'
         and lease_until < clock_timestamp()`,
      [tenant, file],
      signal,
    );
  }

  async beat(
    { tenant, id }: MigrationKey,
    { token, ms }: Lease,
    { position, figures }: Checkpoint,
    signal?: AbortSignal,
  ): Promise<Beat> {
    const rows = await this.#query(
      `update session_buddy_migrations
       set lease_until = clock_timestamp() + $7 * interval '1 ms',
         records = $4, digest = $5, figures = $6
       where ${held}
       returning id`,
      [tenant, id, token, position.records, position.digest, JSON.stringify(figures), ms],
      signal,
    );
    return rows.length > 0 ? "ours" : "lost";
  }

  async end(
    { tenant, id }: MigrationKey,
    { token }: Lease,
    {
      status,
      checkpoint: { position, figures },
      message,
    }: { status: MigrationEnd; checkpoint: Checkpoint; message: string },
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#query(
      `update session_buddy_migrations
       set status = $7, message = $8, ended_at = now(), records = $4, digest = $5, figures = $6
       where ${held}`,
      [
        tenant,
        id,
        token,
        position.records,
        position.digest,
        JSON.stringify(figures),
        status,
        message,
      ],
      signal,
    );
  }
}

function openedOf(
  { id, records, digest, figures }: CheckpointRow,
  resumed: boolean,
): OpenedMigration {
  return {
    kind: "opened",
    id,
    resumed,
    checkpoint: { position: { records, digest }, figures },
  };
}
