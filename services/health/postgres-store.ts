import type { Queryable } from "../../shared/postgres/queryable.ts";
import { vectorWarning } from "../../shared/postgres/readiness.ts";
import { schemaState } from "../../shared/postgres/schema-state.ts";
import type { Facts, HealthSample, Status } from "./component-health.ts";
import type { DatabaseFacts } from "./database.ts";
import type { HealthHistoryStore, HistoryFilter, HistoryPosition } from "./store.ts";

/** The platform's own samples; no caller can have this name. */
const platformTenant = "";

interface Row {
  readonly component: string;
  readonly sampled_at: Date;
  readonly status: Status;
  readonly latency_ms: number;
  readonly message: string;
  readonly metadata: Facts;
}

/** The history in the table performance_metrics. */
export class PostgresHealthHistoryStore implements HealthHistoryStore {
  readonly #postgres: Queryable;

  constructor(postgres: Queryable) {
    this.#postgres = postgres;
  }

  async add(samples: readonly HealthSample[], signal?: AbortSignal): Promise<void> {
    await this.#postgres.query(
      `insert into performance_metrics
         (tenant, component, sampled_at, status, latency_ms, message, metadata)
       select $1, * from unnest(
         $2::text[], $3::timestamptz[], $4::text[], $5::float8[], $6::text[], $7::jsonb[])
       on conflict do nothing`,
      [
        platformTenant,
        samples.map(({ component }) => component.name),
        samples.map(({ time }) => time),
        samples.map(({ component }) => component.status),
        samples.map(({ component }) => component.latencyMs),
        samples.map(({ component }) => component.message),
        samples.map(({ component }) => JSON.stringify(component.metadata)),
      ],
      signal,
    );
  }

  async list(
    { component, start, end }: HistoryFilter,
    limit: number,
    after: HistoryPosition | undefined,
    signal?: AbortSignal,
  ): Promise<HealthSample[]> {
    const { rows } = await this.#postgres.query<Row>(
      `select component, sampled_at, status, latency_ms, message, metadata
       from performance_metrics
       where tenant = $1
         and ($2::text is null or component = $2)
         and ($3::timestamptz is null or sampled_at >= $3)
         and ($4::timestamptz is null or sampled_at < $4)
         and ($5::timestamptz is null
           or (sampled_at <= $5 and (sampled_at < $5 or component > $6)))
       order by sampled_at desc, component
       limit $7`,
      [
        platformTenant,
        component ?? null,
        start ?? null,
        end ?? null,
        after?.time ?? null,
        after?.component ?? null,
        limit,
      ],
      signal,
    );
    return rows.map((row) => ({
      time: row.sampled_at,
      component: {
        name: row.component,
        status: row.status,
        message: row.message,
        latencyMs: row.latency_ms,
        metadata: row.metadata,
      },
    }));
  }

  async deleteBefore(time: Date, signal?: AbortSignal): Promise<number> {
    const { rowCount } = await this.#postgres.query(
      "delete from performance_metrics where tenant = $1 and sampled_at < $2",
      [platformTenant, time],
      signal,
    );
    return rowCount;
  }
}

/** What the database says of itself; writes nothing. */
export async function readDatabaseFacts(
  postgres: Queryable,
  signal?: AbortSignal,
): Promise<DatabaseFacts> {
  const { rows } = await postgres.query<{ server: string; vector: string | null; bytes: number }>(
    `select split_part(current_setting('server_version'), ' ', 1) as server,
            (select extversion from pg_extension where extname = 'vector') as vector,
            pg_database_size(current_database())::float8 as bytes`,
    [],
    signal,
  );
  const [row] = rows;
  const vectorVersion = row?.vector ?? undefined;
  return {
    serverVersion: row?.server ?? "",
    vectorVersion,
    warning: vectorVersion === undefined ? undefined : vectorWarning(vectorVersion),
    schema: await schemaState(postgres, signal === undefined ? {} : { signal }),
    sizeBytes: row?.bytes ?? 0,
  };
}
