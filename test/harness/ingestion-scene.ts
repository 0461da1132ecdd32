import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import getPort from "get-port";
import { createApp } from "../../services/vector-store/app.ts";
import { readConfig } from "../../services/vector-store/config.ts";
import { Resources } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { HookedEmbedder } from "./hooked-embedder.ts";
import { IngestionProcess } from "./ingestion-process.ts";

/**
 * Ingestion as a process that may be killed and started again under its address, with the real
 * vector store and an embedder that tests hold back; and a folder to plant files in.
 */
export class IngestionScene implements AsyncDisposable {
  readonly embedder: HookedEmbedder;
  readonly folder: string;
  readonly address: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #resources: Resources;
  #process: IngestionProcess | undefined;

  private constructor(
    parts: Pick<IngestionScene, "embedder" | "folder" | "address">,
    env: Readonly<Record<string, string>>,
    resources: Resources,
  ) {
    this.embedder = parts.embedder;
    this.folder = parts.folder;
    this.address = parts.address;
    this.#env = env;
    this.#resources = resources;
  }

  /** Resolves when ingestion listens. */
  static async open(
    databaseUrl: string,
    env: Readonly<Record<string, string>> = {},
  ): Promise<IngestionScene> {
    await using resources = new Resources();
    const config = readConfig({
      env: { MAHAVISHNU_VECTOR_STORE_PORT: "0", MAHAVISHNU_PG_URL: databaseUrl },
      file: {},
    });
    const vectorStore = resources.use("store", await createApp(config, { logger: silentLogger() }));
    const embedder = resources.use("embedder", await HookedEmbedder.start());
    const folder = await realpath(await mkdtemp(join(tmpdir(), "mahavishnu-scene-")));
    resources.defer("folder", () => rm(folder, { recursive: true, force: true }));
    const port = await getPort();
    const scene = new IngestionScene(
      { embedder, folder, address: `127.0.0.1:${port}` },
      {
        MAHAVISHNU_PG_URL: databaseUrl,
        MAHAVISHNU_EMBEDDING_ADDRESS: embedder.address,
        MAHAVISHNU_VECTOR_STORE_ADDRESS: vectorStore.address,
        MAHAVISHNU_INGESTION_PORT: String(port),
        MAHAVISHNU_INGESTION_LEASE_MS: "5000",
        MAHAVISHNU_INGESTION_EMBED_BATCH: "4",
        MAHAVISHNU_INGESTION_PARALLEL_BATCHES: "2",
        ...env,
      },
      resources.move(),
    );
    await scene.start();
    return scene;
  }

  get process(): IngestionProcess {
    if (this.#process === undefined) throw new Error("ingestion has not been started");
    return this.#process;
  }

  /** Another life of the process, under the same address. */
  async start(): Promise<IngestionProcess> {
    await this.#process?.[Symbol.asyncDispose]();
    const next = await IngestionProcess.start(this.#env);
    this.#process = next;
    return next;
  }

  /** Another process beside it, under another address. */
  async startBeside(): Promise<IngestionProcess> {
    const env = { ...this.#env, MAHAVISHNU_INGESTION_PORT: "0" };
    return this.#resources.use("beside", await IngestionProcess.start(env));
  }

  async plant(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(this.folder, name)), { recursive: true });
      await writeFile(join(this.folder, name), content);
    }
  }

  /** Lets calls to the embedder pass, and resolves after so many; then they wait until `release`. */
  holdAfter(calls: number): { readonly reached: Promise<void>; readonly release: () => void } {
    const reached = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    let seen = 0;
    this.embedder.onEmbed = async () => {
      if (++seen <= calls) return;
      reached.resolve();
      await released.promise;
    };
    const release = () => {
      this.embedder.onEmbed = () => {};
      released.resolve();
    };
    return { reached: reached.promise, release };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.embedder.onEmbed = () => {};
    await this.#process?.[Symbol.asyncDispose]();
    await this.#resources[Symbol.asyncDispose]();
  }
}
