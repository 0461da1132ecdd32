import type { Transport } from "@connectrpc/connect";
import { createApp } from "../../services/memory/app.ts";
import { readMemoryConfig } from "../../services/memory/config.ts";
import type { MemoryStore } from "../../services/memory/store.ts";
import { Health } from "../../shared/gen/health/v1/health_pb.js";
import { silentLogger } from "../../shared/logging.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";

/*
 * The memory process for tests that kill it: as `services/memory/main.ts` runs it, but that every
 * step of a call can be its last. A step is one transaction of its store or one call to a peer. It
 * is told by message which one: `{ arm: 3 }` lets two steps end and dies by SIGKILL right after
 * the third has taken effect, before anybody learns of it; `{ arm: 0 }` dies before the first.
 */

/** What the workers do while they have nothing to do is no step of a call. */
const background: ReadonlySet<string> = new Set([
  "take",
  "purgeRequests",
  "versionedMemories",
  "forgetVersions",
  "waiting",
]);

let left: number | undefined;

function die(): Promise<never> {
  process.kill(process.pid, "SIGKILL");
  return new Promise(() => {});
}

async function step<T>(work: () => Promise<T>): Promise<T> {
  if (left === undefined) return await work();
  if (left === 0) return await die();
  const result = await work();
  left -= 1;
  if (left === 0) return await die();
  return result;
}

function stepping(store: MemoryStore): MemoryStore {
  return Object.fromEntries(
    Object.entries(store).map(
      ([name, method]: [string, (...args: unknown[]) => Promise<unknown>]) => [
        name,
        background.has(name) ? method : (...args: unknown[]) => step(() => method(...args)),
      ],
    ),
  ) as unknown as MemoryStore;
}

/** Calls of health checks are no steps. */
function steppingPeer(address: string): Transport {
  const transport = createGrpcTransport({ address, retry: { maxAttempts: 1 } });
  return {
    unary: (method, ...rest) =>
      method.parent.typeName === Health.typeName
        ? transport.unary(method, ...rest)
        : step(() => transport.unary(method, ...rest)),
    stream: transport.stream.bind(transport),
  };
}

const config = readMemoryConfig();
const app = await createApp(config, {
  logger: silentLogger(),
  aroundStore: stepping,
  peers: {
    embedding: steppingPeer(config.embeddingAddress),
    vectorStore: steppingPeer(config.vectorStoreAddress),
    sessionBuddy: steppingPeer(config.sessionBuddyAddress),
  },
});
process.on("message", ({ arm }: { arm: number | null }) => {
  left = arm ?? undefined;
  process.send?.({ armed: true });
});
process.on("disconnect", () => process.exit(0));
process.send?.({ address: app.address });
