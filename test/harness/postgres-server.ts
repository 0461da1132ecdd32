import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";

/** The two stores that everything must work on. */
export type StoreKind = "pglite" | "postgres";

export const storeKinds: readonly StoreKind[] = ["pglite", "postgres"];

export interface TestServer extends AsyncDisposable {
  readonly url: string;
}

const image = "pgvector/pgvector:pg17";

/** An embedded server of the caller's own, in memory, in a thread. */
export async function startPglite(): Promise<TestServer> {
  const worker = new Worker(join(import.meta.dirname, "postgres-worker.ts"));
  const [{ url }] = await once(worker, "message");
  return {
    url,
    [Symbol.asyncDispose]: async () => {
      const stopped = once(worker, "message");
      worker.postMessage("stop");
      await stopped;
      await worker.terminate();
    },
  };
}

/** Why there is no real PostgreSQL here; undefined where there is one. */
export function postgresMissing(): string | undefined {
  if (process.env["MAHAVISHNU_TEST_PG_URL"] || hasContainerEngine()) return undefined;
  return "set MAHAVISHNU_TEST_PG_URL, or run a container engine";
}

/** A real PostgreSQL: the one that is named, which is left running, else one in a container. */
export async function realPostgres(): Promise<TestServer> {
  const url = process.env["MAHAVISHNU_TEST_PG_URL"];
  if (url) return { url, [Symbol.asyncDispose]: async () => {} };
  const { PostgreSqlContainer } = await import("@testcontainers/postgresql");
  const container = await new PostgreSqlContainer(image).start();
  return {
    url: container.getConnectionUri(),
    [Symbol.asyncDispose]: async () => {
      await container.stop();
    },
  };
}

function hasContainerEngine(): boolean {
  return Boolean(process.env["DOCKER_HOST"]) || existsSync("/var/run/docker.sock");
}
