import type { Transport } from "@connectrpc/connect";
import { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { createLogger, type Logger } from "../../shared/logging.ts";
import { Postgres } from "../../shared/postgres/postgres.ts";
import { postgresReadiness } from "../../shared/postgres/readiness.ts";
import type { App } from "../../shared/process.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { startRpcServer } from "../../shared/rpc/server.ts";
import type { MemoryConfig } from "./config.ts";
import { Conversations } from "./conversations.ts";
import { Deliveries } from "./deliveries.ts";
import { DocumentWriter } from "./document-writer.ts";
import { EmbeddingClient } from "./embedding-client.ts";
import { GuardedBridge } from "./guarded-bridge.ts";
import { type MemoryDomain, masterSwitch, memoryService } from "./handlers.ts";
import { servingPeer } from "./health-client.ts";
import { KnownTurns } from "./known-turns.ts";
import { embeddingStateOf, Memories } from "./memories.ts";
import { MemoryUpdates } from "./memory-updates.ts";
import { MemoryMetrics } from "./metrics.ts";
import { Operations } from "./operations.ts";
import { PeerGuard } from "./peer-guard.ts";
import { PendingEmbeddings } from "./pending-embeddings.ts";
import { postgresStore } from "./postgres-store.ts";
import { filterOfProjects } from "./project-filter-client.ts";
import { ProjectRegisterClient } from "./project-register-client.ts";
import { ProjectSearch } from "./project-search.ts";
import { Projects } from "./projects.ts";
import { Readiness, type Requirement } from "./readiness.ts";
import { type RecoveryParts, startRecovery } from "./recovery.ts";
import { SessionBuddyClient } from "./session-buddy-client.ts";
import { SharedInsights } from "./shared-insights.ts";
import { unlessBusy } from "./sql/liveness.ts";
import type { MemoryStore } from "./store.ts";
import { UnifiedSearch } from "./unified-search.ts";
import { VectorStoreClient } from "./vector-store-client.ts";
import { Vectors } from "./vectors.ts";
import { Workflows } from "./workflows.ts";

/** How the peers are reached; tests put routers in their place. */
export interface PeerTransports {
  readonly embedding: Transport;
  readonly vectorStore: Transport;
  readonly sessionBuddy: Transport;
}

const probeTimeoutMs = 2_000;

/**
 * The memory process. It listens at once and serves as soon as the database has the schema and the
 * vector store serves; it stops serving while one of them does not. Embedding and Session-Buddy
 * may be away: what they would do is done later.
 */
export async function createApp(
  config: MemoryConfig,
  overrides: {
    readonly logger?: Logger;
    readonly peers?: PeerTransports;
    /** Puts something between the domain and its store; tests end the process there. */
    readonly aroundStore?: (store: MemoryStore) => MemoryStore;
  } = {},
): Promise<App> {
  const logger = overrides.logger ?? createLogger("memory", config.logLevel);
  await using resources = new Resources((part, err) => logger.warn({ err, part }, "did not close"));

  const postgres = resources.use("postgres", new Postgres(config.postgres, logger));
  const peers = overrides.peers ?? dialPeers(config, resources);
  const vectorStore = servingPeer("vector-store", VectorStoreService, peers.vectorStore);
  const { aroundStore = (store) => store } = overrides;
  const store = aroundStore(postgresStore(postgres));
  const { domain, recovery } = makeDomain(config, store, peers, logger, () =>
    readiness.holds(vectorStore.name),
  );
  resources.defer("ends of operations", () => recovery.operations.settled());

  const health = new HealthRegistry();
  const server = await startRpcServer({
    host: config.host,
    port: config.port,
    services: [memoryService(domain)],
    health,
    logger,
    authToken: config.authToken,
    interceptors: [masterSwitch(config.switches)],
  });
  resources.defer("server", () => server.shutdown(config.shutdownGraceMs));
  // Closed before the server: nothing may turn SERVING again while it drains.
  const readiness = resources.use(
    "readiness",
    new Readiness({
      requirements: [database(postgres, logger), vectorStore],
      intervalMs: config.probeIntervalMs,
      timeoutMs: probeTimeoutMs,
      changed(problems) {
        health.set(MemoryService.typeName, problems.length === 0);
        if (problems.length === 0) logger.info("serving");
        else logger.warn(`not serving: ${problems.join("; ")}`);
      },
    }),
  );
  const gauge = domain.metrics.observeOutbox(() =>
    store.waiting(AbortSignal.timeout(probeTimeoutMs)),
  );
  resources.defer("outbox gauge", async () => gauge[Symbol.dispose]());
  resources.use("recovery", startRecovery({ ...recovery, mayWork: () => readiness.complete }));

  const owned = resources.move();
  return {
    address: server.address,
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

/** Most of a store's time; the rest lets its steps end before the worker looks. */
const writeShare = 2 / 3;

function makeDomain(
  config: MemoryConfig,
  store: MemoryStore,
  peers: PeerTransports,
  logger: Logger,
  vectorStoreIsUp: () => Promise<boolean>,
): { readonly domain: MemoryDomain; readonly recovery: Omit<RecoveryParts, "mayWork"> } {
  const { switches, recoveryDelayMs: graceMs } = config;
  const documents = new VectorStoreClient(peers.vectorStore);
  const bridge = new SessionBuddyClient(peers.sessionBuddy);
  const vectors = new Vectors(new EmbeddingClient(peers.embedding), documents, logger);
  const writer = new DocumentWriter(documents, vectors, graceMs * writeShare);
  const sharing = switches.crossSystemSharing;
  const common = { store, documents, switches, graceMs, logger };
  const operations = new Operations({
    ...common,
    writer,
    shareInsights: sharing,
    vectorStoreIsUp,
  });
  const deliveries = new Deliveries({ ...common, bridge, leaseMs: graceMs, sharing });
  const memories = new Memories({ ...common, writer, operations, deliveries });
  const updates = new MemoryUpdates({
    ...common,
    vectors,
    writer,
    operations,
    deliveries,
    vectorStoreIsUp,
  });
  const knownTurns = new KnownTurns(store);
  const conversations = new Conversations({
    ...common,
    knownTurns,
    operations,
    deliveries,
    embeddingState: async (call, id) => embeddingStateOf(await memories.get(call, id)),
  });
  const register = new ProjectRegisterClient(peers.sessionBuddy);
  const guard = new PeerGuard("session-buddy", logger);
  const guarded = new GuardedBridge(bridge, register, guard);
  const search = new UnifiedSearch({ ...common, bridge: guarded, vectors, knownTurns });
  const workflows = new Workflows(store, writer, graceMs);
  return {
    domain: {
      memories,
      updates,
      conversations,
      workflows,
      search,
      projects: new Projects(register, switches),
      projectSearch: new ProjectSearch({
        register: guarded,
        search,
        filterOf: filterOfProjects,
        switches,
      }),
      sharedInsights: new SharedInsights({ ...common, operations, deliveries }),
      metrics: new MemoryMetrics(switches.performanceMonitoring),
      logger,
    },
    recovery: {
      ...common,
      operations,
      updates,
      workflows,
      deliveries,
      pendingEmbeddings: new PendingEmbeddings(store, documents, vectors),
      sharing,
      idleMs: config.outboxIntervalMs,
      leaseMs: graceMs,
    },
  };
}

function dialPeers(config: MemoryConfig, resources: Resources): PeerTransports {
  const dial = (name: string, address: string, maxAttempts: number) => {
    const { authToken } = config;
    const transport = createGrpcTransport({ address, authToken, retry: { maxAttempts } });
    resources.defer(name, () => transport.close());
    return transport;
  };
  return {
    vectorStore: dial("vector-store", config.vectorStoreAddress, 3),
    // Both can be done without: waiting for another try costs more than it brings.
    embedding: dial("embedding", config.embeddingAddress, 1),
    sessionBuddy: dial("session-buddy", config.sessionBuddyAddress, 1),
  };
}

/** Once the schema is there, that the database answers is all that can change. */
function database(postgres: Postgres, logger: Logger): Requirement {
  let schemaKnown = false;
  const answers = unlessBusy(postgres);
  return {
    name: "postgresql",
    async check(signal) {
      if (schemaKnown) return await answers(signal);
      const { ready, message, warning } = await postgresReadiness(postgres, { signal });
      if (!ready) throw new Error(message);
      schemaKnown = true;
      if (warning !== undefined) logger.warn(warning);
    },
  };
}
