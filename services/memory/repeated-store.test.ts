import { expect, it } from "vitest";
import { silentLogger } from "../../shared/logging.ts";
import { readMemoryConfig } from "./config.ts";
import type { Deliveries } from "./deliveries.ts";
import type { DocumentWriter } from "./document-writer.ts";
import { Memories } from "./memories.ts";
import type { NewMemory } from "./memory.ts";
import type { KnownRequest } from "./operation-store.ts";
import type { Operations } from "./operations.ts";
import type { Documents } from "./ports.ts";
import type { MemoryStore } from "./store.ts";

const memory: NewMemory = {
  id: "first",
  content: "said twice",
  memoryType: "agent",
  sourceSystem: "mahavishnu",
  agentId: "a",
  workflowId: "",
  repoId: "",
  metadata: {},
  createTime: undefined,
  expireTime: undefined,
  dedupScope: "",
};
const call = { tenant: "t", signal: new AbortController().signal, deadline: undefined };
const request = { method: "StoreMemory", requestId: "r1", payloadHash: "h" };

/** Memories whose first call is open when the second learns of it, and over a moment later. */
function memories(ended: KnownRequest | undefined) {
  const runs: string[] = [];
  const stored = { ...memory, contentHash: "h", updateTime: undefined, hasVector: true };
  const domain = new Memories({
    store: {
      openOperation: async () => undefined,
      knownRequest: async () => ended,
    } as unknown as MemoryStore,
    documents: {
      get: async (_: unknown, ids: readonly string[]) =>
        ids.filter((id) => id !== "first").map((id) => ({ ...stored, id })),
    } as unknown as Documents,
    writer: {} as DocumentWriter,
    operations: {
      async run() {
        runs.push("run");
        if (runs.length === 1) {
          return { known: { payloadHash: "h", subject: "first", deduplicated: false } };
        }
        const written = { kind: "stored", id: "second", deduplicated: false, withVector: true };
        return { written: [written], turn: undefined };
      },
    } as unknown as Operations,
    deliveries: { deliverNow: async () => [] } as unknown as Deliveries,
    switches: readMemoryConfig({ env: {}, file: {} }).switches,
    graceMs: 1_000,
    logger: silentLogger(),
  });
  return { domain, runs };
}

it("answers with the memory that the first call ended at, not the one it began with", async () => {
  const { domain } = memories({ payloadHash: "h", subject: "existing", deduplicated: true });
  const answer = await domain.store(call, { memory, idGiven: false }, request);
  expect(answer).toMatchObject({ memory: { id: "existing" }, deduplicated: true });
});

it("stores anew where the first call was taken back meanwhile", async () => {
  const { domain, runs } = memories(undefined);
  const answer = await domain.store(call, { memory, idGiven: false }, request);
  expect(answer).toMatchObject({ memory: { id: "second" }, deduplicated: false });
  expect(runs).toHaveLength(2);
});
