import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createClient } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus } from "../../shared/gen/health/v1/health_pb.js";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { sleep } from "../../shared/lifecycle.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";

const main = fileURLToPath(new URL("../../services/vector-store/main.ts", import.meta.url));

/** A vector store in a process of its own, serving; `nodeArguments` for a profile of it. */
export async function startVectorStore(url: string, nodeArguments: readonly string[] = []) {
  const child = spawn(process.execPath, [...nodeArguments, main], {
    env: { ...process.env, MAHAVISHNU_PG_URL: url, MAHAVISHNU_VECTOR_STORE_PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let address: string | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    const logged = JSON.parse(line) as { address?: string; msg: string };
    if (logged.msg !== "listening") continue;
    address = logged.address;
    break;
  }
  child.stdout.resume();
  if (address === undefined) throw new Error("the service did not start");
  const transport = createGrpcTransport({ address });
  const health = createClient(Health, transport);
  const { SERVING } = HealthCheckResponse_ServingStatus;
  while ((await health.check({})).status !== SERVING) await sleep(50);
  return {
    client: createClient(VectorStoreService, transport),
    async stop(): Promise<void> {
      transport.close();
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}
