import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { createClient } from "@connectrpc/connect";
import {
  Health,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../shared/gen/health/v1/health_pb.js";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { createLogger } from "../../shared/logging.ts";
import { embeddedPostgresUrl, postgresAddress } from "../../shared/postgres/config.ts";
import { migrate } from "../../shared/postgres/migrate.ts";
import { createGrpcTransport, type GrpcTransport } from "../../shared/rpc/client.ts";
import { lockDataDir } from "./data-dir-lock.ts";
import { embeddedPostgres, takenPorts } from "./free-ports.ts";
import {
  addressEnvironment,
  dialAddress,
  type Ports,
  type ServiceEntry,
  serviceEntries,
} from "./services.ts";
import { type ProcessEvent, SupervisedProcess } from "./supervised-process.ts";

export interface PlatformOptions {
  /** Where all local state lives; made when missing. */
  readonly dataDir: string;
  readonly ports: Ports;
  readonly host?: string;
  /** A PostgreSQL to use; without one an embedded one is started in the data dir. */
  readonly postgresUrl?: string | undefined;
  /** What every call but health and reflection needs; the processes read it from their own environment. */
  readonly authToken?: string | undefined;
  /** How long calls in flight may take to end when the platform stops; default 10,000 ms. */
  readonly shutdownGraceMs?: number;
  /** Added to the environment of every process. */
  readonly env?: NodeJS.ProcessEnv;
  /** How long all processes may take until they are SERVING, in milliseconds; default 60,000. */
  readonly startTimeoutMs?: number;
  /** Gives up the start; what is up by then is stopped. */
  readonly signal?: AbortSignal;
  /** Told about each step of the start. */
  readonly onStep?: (step: string) => void;
  readonly onEvent?: (event: ProcessEvent) => void;
}

export type ServingState = "SERVING" | "NOT_SERVING" | "UNREACHABLE";

const root = resolve(import.meta.dirname, "../..");
/** What a process needs beyond its grace to close its parts before it is killed. */
const closingMs = 5_000;
const largestStartFailures = 3;

/** Why the platform did not come up, in lines for people. */
export class StartError extends Error {
  override readonly name = "StartError";
}

/**
 * The whole platform as child processes: the same for `npm start`, the demo and the tests.
 * `startPlatform` resolves when every process is SERVING; disposing stops them in reverse order.
 */
export class Platform implements AsyncDisposable {
  readonly dataDir: string;
  readonly host: string;
  readonly ports: Ports;
  readonly postgresUrl: string;
  readonly #authToken: string | undefined;
  readonly #processes: ReadonlyMap<string, SupervisedProcess>;
  readonly #resources: Resources;

  constructor(parts: {
    dataDir: string;
    host: string;
    ports: Ports;
    postgresUrl: string;
    authToken: string | undefined;
    processes: ReadonlyMap<string, SupervisedProcess>;
    resources: Resources;
  }) {
    this.dataDir = parts.dataDir;
    this.host = parts.host;
    this.ports = parts.ports;
    this.postgresUrl = parts.postgresUrl;
    this.#authToken = parts.authToken;
    this.#processes = parts.processes;
    this.#resources = parts.resources;
  }

  /** `host:port` at which a service, such as `memory`, is called. */
  address(name: string): string {
    return dialAddress(this.host, this.ports[name]);
  }

  /** A connection to a service, with the token where one is set. The caller closes it. */
  connect(name: string): GrpcTransport {
    return createGrpcTransport({ address: this.address(name), authToken: this.#authToken });
  }

  /** The process of that name, `embedded-postgres` included where it runs. */
  process(name: string): SupervisedProcess {
    const found = this.#processes.get(name);
    if (found === undefined) throw new Error(`no process is named ${name}`);
    return found;
  }

  get processNames(): string[] {
    return [...this.#processes.keys()];
  }

  /** What grpc.health.v1 says of a service now. */
  serving(name: string, signal?: AbortSignal): Promise<ServingState> {
    const entry = serviceEntries.find((one) => one.name === name);
    if (entry === undefined) throw new Error(`no service is named ${name}`);
    return servingState(this.address(name), entry.service, signal);
  }

  /** Resolves when the service is SERVING; rejects after the time given. */
  async untilServing(name: string, timeoutMs = 30_000): Promise<void> {
    const signal = AbortSignal.timeout(timeoutMs);
    while ((await this.serving(name, signal)) !== "SERVING") await sleep(100, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources[Symbol.asyncDispose]();
  }
}

export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const { ports, host = "127.0.0.1", onStep = () => {}, onEvent = () => {} } = options;
  const dataDir = resolve(options.dataDir);
  const logDir = join(dataDir, "logs");
  try {
    mkdirSync(logDir, { recursive: true });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError(`the data dir ${dataDir} cannot be used: ${why}`, { cause: error });
  }

  await using resources = new Resources();
  resources.use("data dir lock", lockDataDir(dataDir, "platform"));
  const taken = await takenPorts(
    Object.fromEntries(
      Object.entries(ports).filter(
        ([name]) => name !== embeddedPostgres || options.postgresUrl === undefined,
      ),
    ),
    host,
  );
  if (taken.length > 0) throw new StartError(taken.join("\n"));

  const processes = new Map<string, SupervisedProcess>();
  const gaveUp = new Set<string>();
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    MAHAVISHNU_DATA_DIR: dataDir,
    MAHAVISHNU_HOST: host,
    NODE_COMPILE_CACHE: join(root, "node_modules", ".cache", "compile"),
    ...options.env,
    ...addressEnvironment(ports, host),
    MAHAVISHNU_EMBEDDED_PG_PORT: String(ports[embeddedPostgres]),
  };
  const launch = (name: string, main: string) => {
    const child = new SupervisedProcess({
      name,
      main: join(root, main),
      cwd: process.cwd(),
      env,
      logPath: join(logDir, `${name}.log`),
      onEvent: (event) => {
        if (event.kind === "gave-up") gaveUp.add(event.name);
        onEvent(event);
      },
    });
    processes.set(name, child);
    resources.defer(name, () => child.stop((options.shutdownGraceMs ?? 10_000) + closingMs));
    child.start();
    return child;
  };
  const deadline = AbortSignal.timeout(options.startTimeoutMs ?? 60_000);
  const { signal } = options;

  if (options.postgresUrl === undefined) {
    onStep("starting embedded PostgreSQL");
    launch(embeddedPostgres, "deploy/local/embedded-postgres-main.ts");
  } else {
    env["MAHAVISHNU_PG_URL"] = options.postgresUrl;
  }
  const postgresUrl = options.postgresUrl ?? embeddedPostgresUrl(Number(ports[embeddedPostgres]));

  onStep("migrating the database");
  await untilMigrated(postgresUrl, {
    // A server of the operator's should be there already; ours may take its time.
    giveUp: options.postgresUrl === undefined ? deadline : AbortSignal.timeout(10_000),
    signal,
    child: processes.get(embeddedPostgres),
  });

  onStep("starting the services");
  for (const { name } of startOrder()) launch(name, `services/${name}/main.ts`);
  await Promise.all(
    startOrder().map(async (entry) => {
      const child = processes.get(entry.name);
      while (
        (await servingState(dialAddress(host, ports[entry.name]), entry.service)) !== "SERVING"
      ) {
        const failed = gaveUp.has(entry.name) || (child?.failures ?? 0) >= largestStartFailures;
        if (failed || deadline.aborted) throw new StartError(explain(child));
        await sleep(100, signal);
      }
    }),
  );
  return new Platform({
    dataDir,
    host,
    ports,
    postgresUrl,
    authToken: options.authToken,
    processes,
    resources: resources.move(),
  });
}

/** Peers first, so that what depends on them is ready sooner; stopping goes the other way. */
function startOrder(): ServiceEntry[] {
  const rank = ["vector-store", "embedding", "session-buddy", "memory", "ingestion", "health"];
  return serviceEntries.toSorted((a, b) => rank.indexOf(a.name) - rank.indexOf(b.name));
}

async function untilMigrated(
  url: string,
  {
    giveUp,
    signal,
    child,
  }: {
    readonly giveUp: AbortSignal;
    readonly signal: AbortSignal | undefined;
    readonly child: SupervisedProcess | undefined;
  },
): Promise<void> {
  const logger = createLogger("migrate", "silent");
  const directory = join(root, "migrations");
  for (;;) {
    try {
      await migrate({ url, directory, logger, signal: giveUp });
      return;
    } catch (error) {
      const failed = giveUp.aborted || (child?.failures ?? 0) >= largestStartFailures;
      if (failed || !/ECONNREFUSED|ECONNRESET|starting up/.test(causes(error))) {
        const why = error instanceof Error ? error.message : String(error);
        throw new StartError(
          child === undefined
            ? `PostgreSQL at ${postgresAddress(url)} cannot be used: ${why}`
            : explain(child),
          { cause: error },
        );
      }
      await sleep(100, signal);
    }
  }
}

function causes(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const code = "code" in error ? String(error.code) : "";
  return `${error.message} ${code} ${causes(error.cause)}`;
}

function explain(child: SupervisedProcess | undefined): string {
  if (child === undefined) return "";
  const last = child.lastLogLines(5).map((line) => `    ${line}`);
  return [`${child.name} did not become ready; the end of its log:`, ...last].join("\n");
}

async function servingState(
  address: string,
  service: string,
  signal?: AbortSignal,
): Promise<ServingState> {
  const transport = createGrpcTransport({ address });
  try {
    const client = createClient(Health, transport);
    const { status } = await client.check(
      { service },
      { timeoutMs: 1_000, ...(signal === undefined ? {} : { signal }) },
    );
    return status === Serving.SERVING ? "SERVING" : "NOT_SERVING";
  } catch {
    return "UNREACHABLE";
  } finally {
    transport.close();
  }
}
