import { createClient } from "@connectrpc/connect";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { startBenchPlatform } from "./platform-on.ts";

/**
 * The whole platform as its own processes and clients of those that storing needs: on the
 * PostgreSQL that MAHAVISHNU_TEST_PG_URL names, else on the embedded one.
 */
export async function openPlatform() {
  await using stack = new AsyncDisposableStack();
  const { platform, store, embedded } = stack.use(await startBenchPlatform());
  const dial = (name: string) =>
    stack.use(createGrpcTransport({ address: platform.address(name), retry: { maxAttempts: 1 } }));
  const memory = createClient(MemoryService, dial("memory"));
  const embedding = createClient(EmbeddingService, dial("embedding"));
  const vectorStore = createClient(VectorStoreService, dial("vector-store"));
  const owned = stack.move();
  return {
    database: store,
    platform,
    embedded,
    memory,
    embedding,
    vectorStore,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

export function rounded(value: number, digits = 2): number {
  return Number(value.toFixed(digits));
}

let serial = 0;
/** About 500 characters that were never there before. */
export function freshText(): string {
  return `${serial++} ${process.pid} `.padEnd(500, "words of a turn that somebody said, ");
}
