import { PostgresFileStore } from "../../services/ingestion/postgres-file-store.ts";
import { PostgresJobStore } from "../../services/ingestion/postgres-job-store.ts";
import type { FileStore, JobKind, JobStore, Lease } from "../../services/ingestion/store.ts";
import { newId } from "../../shared/ids.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";

/** What every ingestion is asked for. */
export const settings = { include: ["*.md"], exclude: [], chunkSize: 512, chunkOverlap: 10 };

export function newLease(ms = 60_000): Lease {
  return { token: newId(), ms };
}

/** Ingestion's stores over one database, for a tenant of their own. */
export class IngestionStores {
  readonly tenant = newId();
  readonly postgres: Postgres;
  readonly jobs: JobStore;
  readonly files: FileStore;

  constructor(postgres: Postgres) {
    this.postgres = postgres;
    this.jobs = new PostgresJobStore(postgres);
    this.files = new PostgresFileStore(postgres);
  }

  key(repoId = "repo") {
    return { tenant: this.tenant, repoId };
  }

  async create(
    repoId: string,
    { kind = "folder", lease }: { kind?: JobKind; lease?: Lease } = {},
    path = kind === "folder" ? `/src/${repoId}` : "",
  ) {
    const { tenant } = this;
    const id = newId();
    const other = await this.jobs.create({ tenant, repoId, id, kind, path, settings, lease });
    return { key: { tenant, id }, other };
  }

  /** One that a process works on. */
  async begin(repoId: string, path?: string) {
    const lease = newLease();
    return { ...(await this.create(repoId, { lease }, path)), lease };
  }

  /** As if its holder had fallen silent long ago. */
  async lapse(id: string) {
    await this.postgres.query(
      "update rag_ingestions set lease_until = now() - interval '1 second' where id = $1",
      [id],
    );
  }
}
