import type { Postgres } from "../../../shared/postgres/postgres.ts";
import { type RetriedQuery, retriedQuery } from "../../../shared/postgres/retry.ts";
import type {
  MigrationEnd,
  MigrationKey,
  MigrationStore,
  NewMigration,
  OpenedMigration,
  RunningMigration,
} from "./migration-store.ts";
import { type Checkpoint, type Figures, noFigures } from "./migration-tally.ts";
import type { Owner } from "./owner.ts";
import { beginning } from "./record-reader.ts";

interface CheckpointRow {
  readonly id: string;
  readonly records: number;
  readonly digest: string;
  readonly figures: Figures;
}

interface RunningRow {
  readonly id: string;
  readonly owner_host: string;
  readonly owner_pid: number;
  readonly owner_life: string;
  readonly silent_ms: number;
}

/** The table session_buddy_migrations. */
export class PostgresMigrationStore implements MigrationStore {
  /** Every statement here may be repeated. */
  readonly #query: RetriedQuery;

  constructor(postgres: Postgres) {
    this.#query = retriedQuery(postgres);
  }

  async open(
    { tenant, id, file, timeZone, owner }: NewMigration,
    signal?: AbortSignal,
  ): Promise<OpenedMigration> {
    for (;;) {
      const [resumed] = await this.#query<CheckpointRow>(
        `update session_buddy_migrations
         set status = 'in_progress', message = '', ended_at = null, heartbeat_at = now(),
           owner_host = $4, owner_pid = $5, owner_life = $6
         where tenant = $1 and source_time_zone = $3 and status in ('failed', 'cancelled')
           and id = (select max(id) from session_buddy_migrations where tenant = $1 and file = $2)
           and not exists (select from session_buddy_migrations
             where tenant = $1 and file = $2 and status = 'in_progress')
         returning id, records::float8, digest, figures`,
        [tenant, file, timeZone, owner.host, owner.pid, owner.life],
        signal,
      );
      if (resumed !== undefined) return openedOf(resumed, true);
      const [inserted] = await this.#query<CheckpointRow>(
        `insert into session_buddy_migrations
           (tenant, id, file, source_time_zone, figures, owner_host, owner_pid, owner_life)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (tenant, file) where status = 'in_progress' do nothing
         returning id, records::float8, digest, figures`,
        [tenant, id, file, timeZone, JSON.stringify(noFigures), owner.host, owner.pid, owner.life],
        signal,
      );
      if (inserted !== undefined) return openedOf(inserted, false);
      const [running] = await this.#query<RunningRow>(
        `select id, owner_host, owner_pid, owner_life,
           greatest(0, extract(epoch from clock_timestamp() - heartbeat_at) * 1000)::float8
             as silent_ms
         from session_buddy_migrations
         where tenant = $1 and file = $2 and status = 'in_progress'`,
        [tenant, file],
        signal,
      );
      // One that ended meanwhile makes room.
      if (running === undefined) continue;
      // A repeated insert meets its own row.
      if (running.id === id) {
        return {
          kind: "opened",
          id,
          resumed: false,
          checkpoint: { position: beginning, figures: noFigures },
        };
      }
      return { kind: "running", running: runningOf(tenant, running) };
    }
  }

  async beat(
    { tenant, id }: MigrationKey,
    owner: Owner,
    { position, figures }: Checkpoint,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const rows = await this.#query(
      `update session_buddy_migrations
       set heartbeat_at = now(), records = $4, digest = $5, figures = $6
       where tenant = $1 and id = $2 and owner_life = $3 and status = 'in_progress'
       returning id`,
      [tenant, id, owner.life, position.records, position.digest, JSON.stringify(figures)],
      signal,
    );
    return rows.length > 0;
  }

  async end(
    { tenant, id }: MigrationKey,
    owner: Owner,
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
       where tenant = $1 and id = $2 and owner_life = $3 and status = 'in_progress'`,
      [
        tenant,
        id,
        owner.life,
        position.records,
        position.digest,
        JSON.stringify(figures),
        status,
        message,
      ],
      signal,
    );
  }

  async interrupt(
    { tenant, id, owner }: RunningMigration,
    message: string,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#query(
      `update session_buddy_migrations set status = 'failed', message = $4, ended_at = now()
       where tenant = $1 and id = $2 and owner_life = $3 and status = 'in_progress'`,
      [tenant, id, owner.life, message],
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

function runningOf(tenant: string, row: RunningRow): RunningMigration {
  return {
    tenant,
    id: row.id,
    owner: { host: row.owner_host, pid: row.owner_pid, life: row.owner_life },
    silentMs: row.silent_ms,
  };
}
