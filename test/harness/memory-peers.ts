import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApp as createEmbedding } from "../../services/embedding/app.ts";
import { readEmbeddingConfig } from "../../services/embedding/config.ts";
import { createApp as createSessionBuddy } from "../../services/session-buddy/app.ts";
import { readSessionBuddyConfig } from "../../services/session-buddy/config.ts";
import { createApp as createVectorStore } from "../../services/vector-store/app.ts";
import { readConfig as readVectorStoreConfig } from "../../services/vector-store/config.ts";
import { Resources } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import type { App } from "../../shared/process.ts";

export interface MemoryPeers extends AsyncDisposable {
  /** The environment by which the memory service finds them. */
  readonly env: Readonly<Record<string, string>>;
  readonly embeddingAddress: string;
  readonly vectorStoreAddress: string;
  readonly sessionBuddyAddress: string;
  /** Stops one of them; what it kept is there when it is started anew, at the same address. */
  stop(name: PeerName): Promise<void>;
  restart(name: PeerName): Promise<void>;
}

type PeerName = "embedding" | "sessionBuddy" | "vectorStore";

/** The real peers of the memory service in this process, over a database, without Ollama. */
export async function startMemoryPeers(
  postgresUrl: string,
  env: Readonly<Record<string, string>> = {},
): Promise<MemoryPeers> {
  await using resources = new Resources();
  const logger = silentLogger();
  const dataDir = mkdtempSync(join(tmpdir(), "mahavishnu-peers-"));
  resources.defer("data folder", () => rmSync(dataDir, { recursive: true, force: true }));
  const portOf = ({ address }: App) => address.slice(address.lastIndexOf(":") + 1);
  const starts = {
    embedding: (port: string) =>
      createEmbedding(
        readEmbeddingConfig({
          env: {
            ...env,
            MAHAVISHNU_EMBEDDING_PORT: port,
            MAHAVISHNU_EMBEDDING_PROVIDER: "builtin",
          },
          file: {},
        }),
        { logger },
      ),
    sessionBuddy: (port: string) =>
      createSessionBuddy(
        readSessionBuddyConfig({
          env: {
            ...env,
            MAHAVISHNU_SESSION_BUDDY_PORT: port,
            MAHAVISHNU_DATA_DIR: dataDir,
            MAHAVISHNU_EMBEDDING_ADDRESS: running.embedding.address,
          },
          file: {},
        }),
        { logger },
      ),
    vectorStore: (port: string) =>
      createVectorStore(
        readVectorStoreConfig({
          env: { ...env, MAHAVISHNU_VECTOR_STORE_PORT: port, MAHAVISHNU_PG_URL: postgresUrl },
          file: {},
        }),
        { logger },
      ),
  };
  const running = { embedding: await starts.embedding("0") } as Record<keyof typeof starts, App>;
  resources.defer("embedding", () => running.embedding[Symbol.asyncDispose]());
  running.sessionBuddy = await starts.sessionBuddy("0");
  resources.defer("session-buddy", () => running.sessionBuddy[Symbol.asyncDispose]());
  running.vectorStore = await starts.vectorStore("0");
  resources.defer("vector-store", () => running.vectorStore[Symbol.asyncDispose]());
  const ports = {
    embedding: portOf(running.embedding),
    sessionBuddy: portOf(running.sessionBuddy),
    vectorStore: portOf(running.vectorStore),
  };
  const owned = resources.move();
  return {
    embeddingAddress: running.embedding.address,
    vectorStoreAddress: running.vectorStore.address,
    sessionBuddyAddress: running.sessionBuddy.address,
    env: {
      MAHAVISHNU_EMBEDDING_ADDRESS: running.embedding.address,
      MAHAVISHNU_VECTOR_STORE_ADDRESS: running.vectorStore.address,
      MAHAVISHNU_SESSION_BUDDY_ADDRESS: running.sessionBuddy.address,
    },
    async stop(name) {
      await running[name][Symbol.asyncDispose]();
    },
    async restart(name) {
      running[name] = await starts[name](ports[name]);
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}
