import { dirname, join } from "node:path";
import { resolveAllowedPath } from "../../shared/allowed-path.ts";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { createLogger, type Logger } from "../../shared/logging.ts";
import type { App } from "../../shared/process.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { service, startRpcServer } from "../../shared/rpc/server.ts";
import { BridgeStatusReader } from "./bridge-status.ts";
import type { SessionBuddyConfig } from "./config.ts";
import { DuckDbRecordStore } from "./duckdb-store.ts";
import { createEmbedder } from "./embedding-client.ts";
import { RecordExport } from "./export.ts";
import { createHandlers } from "./handlers.ts";
import { Mirror, type MirrorOptions } from "./mirror.ts";
import { Outbox } from "./outbox.ts";
import { DuckDbOutboxStore } from "./outbox-store.ts";
import { DuckDbProjectStore } from "./project-store.ts";
import { ReflectionSearch } from "./search.ts";
import { SessionBuddyFiles } from "./session-buddy-files.ts";
import { DuckDbSideIndex } from "./side-index-store.ts";
import { type Embedder, VectorIndexing, type VectorIndexingOptions } from "./vector-indexing.ts";
import { WallTime } from "./wall-time.ts";
import { Writing, type WritingOptions } from "./writing.ts";

export interface SessionBuddyOverrides {
  readonly logger?: Logger;
  readonly embedder?: Embedder;
  /** Waits and pauses; see MirrorOptions. */
  readonly mirror?: Partial<Omit<MirrorOptions, "store" | "queued" | "onReadable" | "onChange">>;
  readonly writing?: Partial<Pick<WritingOptions, "retryMs">>;
  readonly indexing?: Partial<Pick<VectorIndexingOptions, "pauseMs" | "retryMs" | "modelHoldMs">>;
}

/**
 * Starts the bridge. It listens at once and serves, as its health says, while Session-Buddy's file
 * can be read. Embedding is no condition: without it records are found by text.
 */
export async function createApp(
  config: SessionBuddyConfig,
  overrides: SessionBuddyOverrides = {},
): Promise<App> {
  const logger = overrides.logger ?? createLogger("session-buddy", config.logLevel);
  await using opening = new Resources((part, error) =>
    logger.error({ err: error, part }, "failed to close"),
  );
  const stateDir = join(config.dataDir, "session-buddy");
  const health = new HealthRegistry();
  const wallTime = new WallTime(config.timeZone);
  const reading = { snapshotDirectory: join(stateDir, "snapshots"), logger };
  const { graphFiles } = config;
  const files = new SessionBuddyFiles({ ...reading, path: config.file, graphFiles, create: true });
  const filesAt = async (path: string) =>
    new SessionBuddyFiles({
      ...reading,
      path: await resolveAllowedPath(path, config.roots, "file"),
      create: false,
    });
  const store = new DuckDbRecordStore(files, wallTime);

  const embedder = overrides.embedder ?? openEmbedder(config, opening);
  const { index, fault } = await openSideIndex(join(stateDir, "side-index.duckdb"), logger);
  if (index !== undefined) opening.use("side index", index);
  const indexing = opening.use(
    "vector indexing",
    new VectorIndexing({
      ...overrides.indexing,
      index,
      embedder,
      catalogue: () => mirror.catalogue,
      logger,
    }),
  );
  const { outbox, fault: outboxFault } = await openOutbox(stateDir, opening, logger);
  const mirror: Mirror = opening.use(
    "mirror",
    new Mirror({
      ...overrides.mirror,
      store,
      queued: () => outbox?.writes ?? [],
      onChange: () => indexing.contentsChanged(),
      onReadable: (readable, why) => {
        health.set(SessionBuddyService.typeName, readable);
        if (readable) logger.info({ file: config.file }, "reading Session-Buddy's file");
        else logger.error({ file: config.file, why }, "cannot read Session-Buddy's file");
      },
    }),
  );

  const writing = opening.use(
    "writing",
    new Writing({ mirror, outbox, logger, ...overrides.writing }),
  );

  const server = await startRpcServer({
    host: config.host,
    port: config.port,
    services: [
      service(
        SessionBuddyService,
        createHandlers({
          writing,
          projects: new DuckDbProjectStore(files.main, wallTime),
          search: new ReflectionSearch(mirror, indexing),
          exports: new RecordExport(),
          files,
          filesAt,
          wallTime,
          status: new BridgeStatusReader({
            store,
            mirror,
            indexing,
            writing,
            faults: [fault, outboxFault],
          }),
        }),
      ),
    ],
    health,
    logger,
    authToken: config.authToken,
  });
  opening.defer("server", () => server.shutdown(config.shutdownGraceMs));
  await store.ensure().catch((error: unknown) => logger.debug({ err: error }, "no file yet"));
  mirror.start();
  indexing.start();
  writing.start();
  const open = opening.move();
  return { address: server.address, [Symbol.asyncDispose]: () => open[Symbol.asyncDispose]() };
}

/** Without an outbox a held file refuses what is to be written. */
async function openOutbox(stateDir: string, resources: Resources, logger: Logger) {
  const path = join(stateDir, "outbox.duckdb");
  try {
    const store = resources.use("outbox", await DuckDbOutboxStore.open(path));
    return { outbox: await Outbox.open(store), fault: "" };
  } catch (error) {
    logger.error({ err: error, file: path }, "no outbox; what cannot be written is refused");
    const fault = `the outbox ${path} cannot be opened, so nothing is stored while the file is held`;
    return { outbox: undefined, fault };
  }
}

function openEmbedder(config: SessionBuddyConfig, resources: Resources): Embedder {
  const transport = createGrpcTransport({
    address: config.embeddingAddress,
    authToken: config.authToken,
  });
  resources.defer("embedding client", () => transport.close());
  return createEmbedder(transport);
}

/** Without a side index the bridge works on, by text only, and says so. */
async function openSideIndex(path: string, logger: Logger) {
  try {
    return { index: await DuckDbSideIndex.open(path, logger), fault: "" };
  } catch (error) {
    logger.error({ err: error, file: path }, "no side index; records are found by text only");
    const fault = `no side index can be kept in ${dirname(path)}, so records are found by text only`;
    return { index: undefined, fault };
  }
}
