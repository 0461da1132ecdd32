import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Client } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus } from "../../shared/gen/health/v1/health_pb.js";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { createClient, createGrpcTransport } from "../../shared/rpc/client.ts";

/** The vector store in a process of its own, serving. */
export interface VectorStoreProcess extends AsyncDisposable {
  readonly client: Client<typeof VectorStoreService>;
  readonly address: string;
  /** Resident memory in bytes; NaN where the system does not tell. */
  memory(): number;
}

/** `nodeArguments` for a profile of it. */
export async function startVectorStore(
  url: string,
  env: Readonly<Record<string, string>> = {},
  nodeArguments: readonly string[] = [],
): Promise<VectorStoreProcess> {
  const main = fileURLToPath(new URL("../../services/vector-store/main.ts", import.meta.url));
  const child = spawn(process.execPath, [...nodeArguments, main], {
    env: { ...process.env, MAHAVISHNU_PG_URL: url, MAHAVISHNU_VECTOR_STORE_PORT: "0", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const address = await listening(createInterface({ input: child.stdout }));
  child.stdout.resume();
  const transport = createGrpcTransport({ address });
  const health = createClient(Health, transport);
  const service = VectorStoreService.typeName;
  for await (const { status } of health.watch({ service })) {
    if (status === HealthCheckResponse_ServingStatus.SERVING) break;
  }
  return {
    client: createClient(VectorStoreService, transport),
    address,
    memory: () => residentBytes(child.pid),
    [Symbol.asyncDispose]: async () => {
      transport.close();
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
    },
  };
}

async function listening(lines: AsyncIterable<string>): Promise<string> {
  for await (const line of lines) {
    const { address, msg } = JSON.parse(line) as { address?: string; msg: string };
    if (msg === "listening" && address !== undefined) return address;
  }
  throw new Error("the service did not start");
}

function residentBytes(pid: number | undefined): number {
  try {
    const [, kilobytes] =
      /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return Number(kilobytes) * 1024;
  } catch {
    return Number.NaN;
  }
}
