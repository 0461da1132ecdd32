import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Client } from "@connectrpc/connect";
import { createApp } from "../../services/ingestion/app.ts";
import { readIngestionConfig } from "../../services/ingestion/config.ts";
import type { IngestionProgress } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import {
  IngestionService,
  type IngestRepositoryRequest,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { createClient, createGrpcTransport } from "../../shared/rpc/client.ts";
import type { FakePeers } from "./ingestion-peers.ts";

/** The ingestion process, in this one, with peers that tests control. */
export interface TestIngestion extends AsyncDisposable {
  readonly address: string;
  readonly client: Client<typeof IngestionService>;
}

export async function startIngestion(
  databaseUrl: string,
  peers: FakePeers,
  env: Readonly<Record<string, string>> = {},
  tenant = "default",
): Promise<TestIngestion> {
  await using resources = new Resources();
  const config = readIngestionConfig({
    env: {
      MAHAVISHNU_INGESTION_PORT: "0",
      MAHAVISHNU_PG_URL: databaseUrl,
      MAHAVISHNU_INGESTION_PATIENCE_MS: "5000",
      MAHAVISHNU_SHUTDOWN_GRACE_MS: "2000",
      ...env,
    },
    file: {},
  });
  const app = resources.use(
    "app",
    await createApp(config, {
      logger: silentLogger(),
      embeddingTransport: peers.transport,
      vectorStoreTransport: peers.transport,
      sessionBuddyTransport: peers.transport,
      readinessIntervalMs: 50,
    }),
  );
  const transport = createGrpcTransport({ address: app.address, tenant });
  resources.defer("client", () => transport.close());
  const owned = resources.move();
  return {
    address: app.address,
    client: createClient(IngestionService, transport),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

/** Ingests to the end; what came last. */
export async function ingest(
  client: Client<typeof IngestionService>,
  request: Partial<Omit<IngestRepositoryRequest, "$typeName">>,
): Promise<IngestionProgress> {
  let last: IngestionProgress | undefined;
  for await (const { progress } of client.ingestRepository(request)) last = progress;
  if (last === undefined) throw new Error("no progress was told");
  return last;
}

/** A folder of its own, to plant files in. */
export interface TestFolder extends AsyncDisposable {
  readonly path: string;
  plant(files: Readonly<Record<string, string | Uint8Array>>): Promise<void>;
}

export async function createFolder(): Promise<TestFolder> {
  const path = await realpath(await mkdtemp(join(tmpdir(), "mahavishnu-ingest-")));
  return {
    path,
    async plant(files) {
      for (const [name, content] of Object.entries(files)) {
        await mkdir(dirname(join(path, name)), { recursive: true });
        await writeFile(join(path, name), content);
      }
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}
