import { type AddressInfo, createServer, type Socket } from "node:net";
import type { DescService } from "@bufbuild/protobuf";
import { silentLogger } from "../../../shared/logging.ts";
import { HealthRegistry } from "../../../shared/rpc/health.ts";
import { type RpcServer, service, startRpcServer } from "../../../shared/rpc/server.ts";
import type { ServiceImpl } from "../../../shared/rpc/service.ts";

export interface PeerServer extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  serve(serving: boolean): void;
}

/** A process with one service of the platform, serving. */
export async function startPeer<S extends DescService>(
  desc: S,
  impl: Partial<ServiceImpl<S>> = {},
  { port = 0, authToken }: { readonly port?: number; readonly authToken?: string } = {},
): Promise<PeerServer> {
  const health = new HealthRegistry();
  const server: RpcServer = await startRpcServer({
    host: "127.0.0.1",
    port,
    services: [service(desc, impl)],
    health,
    logger: silentLogger(),
    authToken,
  });
  health.set(desc.typeName, true);
  return {
    address: server.address,
    port: server.port,
    serve: (serving) => health.set(desc.typeName, serving),
    [Symbol.asyncDispose]: () => server.shutdown(0),
  };
}

/** Something that takes connections and never says a word. */
export async function startSilence(): Promise<AsyncDisposable & { readonly address: string }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
