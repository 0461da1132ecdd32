import type { Client, ServiceImpl } from "@connectrpc/connect";
import { pino } from "pino";
import {
  createClient,
  createGrpcTransport,
  type GrpcTransport,
  type GrpcTransportOptions,
} from "../client.ts";
import { HealthRegistry } from "../health.ts";
import { type RpcServer, type RpcServerOptions, service, startRpcServer } from "../server.ts";
import { EchoService } from "./echo.ts";

/** A served EchoService and a client of it. */
export interface EchoHarness extends AsyncDisposable {
  readonly server: RpcServer;
  readonly health: HealthRegistry;
  readonly transport: GrpcTransport;
  readonly client: Client<typeof EchoService>;
  /** What the server has logged, parsed. */
  readonly logs: Record<string, unknown>[];
}

export async function startEcho(
  impl: Partial<ServiceImpl<typeof EchoService>>,
  serverOptions: Partial<RpcServerOptions> = {},
  clientOptions: Partial<GrpcTransportOptions> = {},
): Promise<EchoHarness> {
  const logs: Record<string, unknown>[] = [];
  const logger = pino(
    { level: "debug", formatters: { level: (label) => ({ level: label }) }, errorKey: "err" },
    { write: (line) => logs.push(JSON.parse(line)) },
  );
  const health = new HealthRegistry();
  const server = await startRpcServer({
    host: "127.0.0.1",
    port: 0,
    health,
    logger,
    services: [service(EchoService, impl)],
    ...serverOptions,
  });
  health.setAll(true);
  const transport = createGrpcTransport({ address: server.address, ...clientOptions });
  return {
    server,
    health,
    transport,
    client: createClient(EchoService, transport),
    logs,
    async [Symbol.asyncDispose]() {
      transport.close();
      await server.shutdown(0);
    },
  };
}
