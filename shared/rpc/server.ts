import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import {
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServiceDefinition,
  setLogger,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { sleep } from "../lifecycle.ts";
import type { Logger } from "../logging.ts";
import { serverChain } from "./chain.ts";
import { defaultMaxMessageBytes } from "./codec.ts";
import { defaultUnaryTimeoutMs } from "./deadline.ts";
import type { HealthRegistry } from "./health.ts";
import { healthService } from "./health-service.ts";
import { composeMethod } from "./hosted-method.ts";
import { addReflection } from "./reflection.ts";
import type { HostedMethod, ServerCall, ServerScope } from "./server-call.ts";
import type { ServiceRegistration } from "./service.ts";
import { StreamCall } from "./stream-call.ts";
import { UnaryCall } from "./unary-call.ts";

export { type ServiceRegistration, service } from "./service.ts";

export interface RpcServerOptions {
  /** Address to listen on: a name, an IPv4 or an IPv6 address. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly services: readonly ServiceRegistration[];
  /** Learns the names of the services; the process says when they serve. */
  readonly health: HealthRegistry;
  readonly logger: Logger;
  /** Largest message in either direction; default 16 MiB. */
  readonly maxMessageBytes?: number;
  /** When set, callers need it as a Bearer token; health and reflection do not. */
  readonly authToken?: string | undefined;
  /** Bound of unary calls whose caller sets no deadline; default 60,000 ms. */
  readonly unaryTimeoutMs?: number;
  /** Idle time after which a connection is probed; default 60,000 ms. */
  readonly keepaliveMs?: number;
  /** Extra interceptors, innermost. */
  readonly interceptors?: readonly Interceptor[];
}

export interface RpcServer extends AsyncDisposable {
  /** `host:port` as others can dial it. */
  readonly address: string;
  readonly port: number;
  /** Calls that have begun and not ended. */
  readonly callsInFlight: number;
  /**
   * NOT_SERVING, no new calls; waits up to `graceMs` for calls in flight, then ends the rest with
   * UNAVAILABLE. Later calls of it wait for the first one. Disposal is a shutdown without grace.
   */
  shutdown(graceMs: number): Promise<void>;
}

/** Starts to listen. Rejects with one line that names the address where that is not possible. */
export async function startRpcServer(options: RpcServerOptions): Promise<RpcServer> {
  const stopping = new AbortController();
  const scope: ServerScope = { inFlight: new Set(), stopping: stopping.signal };
  const services = [...options.services, healthService(options.health)];
  const methods = hostedMethods(services, options);
  const maxMessageBytes = options.maxMessageBytes ?? defaultMaxMessageBytes;
  const server = new Server({
    interceptors: [drive(methods, scope)],
    // Ours is checked where an error can carry details. grpc-js has the last word at twice that,
    // by the length prefix, so that no message can fill the memory.
    "grpc.max_receive_message_length": maxMessageBytes * 2,
    "grpc.max_send_message_length": -1,
    // Nobody asks for its counts of calls, messages and sockets, which every call would keep.
    "grpc.enable_channelz": 0,
    "grpc.keepalive_time_ms": options.keepaliveMs ?? 60_000,
    "grpc.keepalive_timeout_ms": 20_000,
  });
  // Its own lines would not be JSON; they are for who looks into a problem of the transport.
  setLogger({
    error: (line) => options.logger.debug({ grpc: line }, "grpc-js"),
    info: (line) => options.logger.debug({ grpc: line }, "grpc-js"),
    debug: (line) => options.logger.debug({ grpc: line }, "grpc-js"),
  });
  for (const { desc } of services) {
    server.addService(...definitionOf(desc.typeName, desc.methods));
  }
  addReflection(
    server,
    services.map(({ desc }) => desc),
  );
  for (const { desc } of options.services) options.health.register(desc.typeName);
  const port = await listen(server, options.host, options.port);
  let shutdown: Promise<void> | undefined;
  const stop = (graceMs: number) => {
    shutdown ??= shutDown(server, scope, options.health, stopping, graceMs);
    return shutdown;
  };
  return {
    address: joinAddress(options.host, port),
    port,
    get callsInFlight() {
      return scope.inFlight.size;
    },
    shutdown: stop,
    [Symbol.asyncDispose]: () => stop(0),
  };
}

function hostedMethods(
  services: readonly ServiceRegistration[],
  options: RpcServerOptions,
): Map<string, HostedMethod> {
  const maxMessageBytes = options.maxMessageBytes ?? defaultMaxMessageBytes;
  const own = serverChain({
    logger: options.logger,
    authToken: options.authToken,
    unaryTimeoutMs: options.unaryTimeoutMs ?? defaultUnaryTimeoutMs,
  });
  const extra = options.interceptors ?? [];
  const methods = new Map<string, HostedMethod>();
  for (const { desc, handlerOf } of services) {
    for (const method of desc.methods) {
      const path = `/${desc.typeName}/${method.name}`;
      const run = composeMethod(method, handlerOf(method), own, extra, maxMessageBytes);
      methods.set(path, { service: desc, method, path, run, maxMessageBytes });
    }
  }
  return methods;
}

/**
 * Takes our calls over below grpc-js's handlers, at the interface of its server interceptors: its
 * streams count messages instead of bytes, cost a quarter of the throughput, and their async
 * iterators end a call before its status is sent. Other calls (reflection) go the usual way.
 */
function drive(methods: ReadonlyMap<string, HostedMethod>, scope: ServerScope): ServerInterceptor {
  return ({ path }, wire) => {
    const hosted = methods.get(path);
    if (hosted === undefined) return new ServerInterceptingCall(wire);
    const call: ServerCall =
      hosted.method.methodKind === "unary"
        ? new UnaryCall(hosted, wire, scope)
        : new StreamCall(hosted, wire, scope);
    return new ServerInterceptingCall(wire, { start: () => call.start() });
  };
}

/** What grpc-js must know to route a call to the interceptor above. */
function definitionOf(
  typeName: string,
  methods: readonly DescMethod[],
): [ServiceDefinition, UntypedServiceImplementation] {
  const asIs = (bytes: Buffer) => bytes;
  const definition: Record<string, ServiceDefinition[string]> = {};
  const handlers: UntypedServiceImplementation = {};
  for (const { name, methodKind } of methods) {
    definition[name] = {
      path: `/${typeName}/${name}`,
      requestStream: methodKind === "client_streaming" || methodKind === "bidi_streaming",
      responseStream: methodKind === "server_streaming" || methodKind === "bidi_streaming",
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    };
    // Never reached: the interceptor answers.
    handlers[name] = () => {};
  }
  return [definition, handlers];
}

function listen(server: Server, host: string, port: number): Promise<number> {
  const address = joinAddress(host, port);
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) return resolve(bound);
      const why = /EADDRINUSE/.test(error.message)
        ? "the address is already in use"
        : (/\[(.*)\]/.exec(error.message)?.[1] ?? error.message);
      reject(new Error(`cannot listen on ${address}: ${why}`, { cause: error }));
    });
  });
}

function joinAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** How long ended calls may take to reach their callers before connections are cut. */
const farewellMs = 200;

async function shutDown(
  server: Server,
  { inFlight }: ServerScope,
  health: HealthRegistry,
  stopping: AbortController,
  graceMs: number,
): Promise<void> {
  health.close();
  stopping.abort();
  let drained = false;
  const closed = new Promise<void>((resolve) => {
    // An error here says that the server was never started, and then nothing needs closing.
    server.tryShutdown(() => {
      drained = true;
      resolve();
    });
  });
  if (graceMs > 0) await Promise.race([closed, sleep(graceMs)]);
  if (!drained) {
    for (const call of inFlight) {
      call.abort(new ConnectError("the server is shutting down", Code.Unavailable));
    }
    await Promise.race([closed, sleep(farewellMs)]);
  }
  server.forceShutdown();
}
