import { beforeEach } from "vitest";
import type { NewMemory } from "../../services/memory/memory.ts";
import type { NewTurn, Operation, RequestKey } from "../../services/memory/operation-store.ts";
import type { OutboxKind } from "../../services/memory/outbox-store.ts";
import type { InsightToDeliver } from "../../services/memory/ports.ts";
import { postgresStore } from "../../services/memory/postgres-store.ts";
import type { MemoryStore } from "../../services/memory/store.ts";
import type { WorkflowExecution } from "../../services/memory/workflow.ts";
import { newId } from "../../shared/ids.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import type { TestDatabase } from "../harness/postgres.ts";

export const tenant = "t1";
export const other = "t2";
export const longMs = 60_000;

export function memory(id: string, content = `content of ${id}`): NewMemory {
  return {
    id,
    content,
    memoryType: "agent",
    sourceSystem: "mahavishnu",
    agentId: "agent",
    workflowId: "",
    repoId: "",
    metadata: { n: 1, deep: { text: 'quotes " and \\ and ★' } },
    createTime: 1_700_000_000_123_456n,
    expireTime: undefined,
    dedupScope: "scope",
  };
}

export function insight(memoryId: string): InsightToDeliver {
  return {
    memoryId,
    content: "Use binary unnest.",
    type: "general",
    topics: ["database"],
    confidence: 0.5,
    quality: 0.5,
    project: "repo",
    conversationId: "session",
    metadata: { agent_id: "agent" },
  };
}

export function operation(parts: Partial<Operation> = {}): Operation {
  const id = newId();
  return {
    id,
    documents: [memory(`memory-${id}`)],
    mainCount: 1,
    insights: [],
    turnId: undefined,
    request: undefined,
    ...parts,
  };
}

export function turn(parts: Partial<NewTurn> = {}): NewTurn {
  return {
    id: newId(),
    agentId: "agent",
    sessionId: "session",
    role: "user",
    content: "what was said",
    metadata: { mood: "calm" },
    memoryId: newId(),
    repoId: "",
    createTime: undefined,
    ...parts,
  };
}

export function key(requestId: string, payloadHash = "hash"): RequestKey {
  return { method: "StoreConversationTurn", requestId, payloadHash };
}

export function execution(parts: Partial<WorkflowExecution> = {}): WorkflowExecution {
  return {
    workflowId: "wf-1",
    adapter: "prefect",
    repos: ["a", "b"],
    status: "running",
    result: { passed: 3 },
    durationMicros: 1_500_001n,
    errorMessage: "",
    summary: "",
    createTime: 0n,
    updateTime: 0n,
    revision: 0n,
    ...parts,
  };
}

export const listAll = { agentId: "", afterSequence: 0n, limit: 100 };
export const anyWorkflow = {
  status: undefined,
  adapter: "",
  repoId: "",
  from: undefined,
  to: undefined,
  after: undefined,
  limit: 100,
};

/** The memory store on the database of `describeEachStore`, empty at the start of every test. */
export class MemoryStoreSuite {
  #postgres: Postgres | undefined;
  #store: MemoryStore | undefined;

  /** Declares the hooks; call it at the top of a suite. */
  constructor(database: () => TestDatabase) {
    beforeEach(async () => {
      this.#postgres ??= database().open();
      this.#store = postgresStore(this.#postgres);
      await database().truncate();
    });
  }

  get postgres(): Postgres {
    if (this.#postgres === undefined) throw new Error("the database is there in hooks and tests");
    return this.#postgres;
  }

  get store(): MemoryStore {
    if (this.#store === undefined) throw new Error("the store is there in hooks and tests");
    return this.#store;
  }

  readonly takeAll = (kind: OutboxKind) => this.store.take(kind, 100, longMs);

  /** How many items of each kind are in the outbox. */
  readonly waiting = async () => {
    const { rows } = await this.postgres.query<{ kind: string; count: number }>(
      "select kind, count(*)::int as count from memory_outbox group by kind",
    );
    return Object.fromEntries(rows.map((row) => [row.kind, row.count]));
  };

  /** Lets time pass for what waits. */
  readonly makeDue = () =>
    this.postgres.query("update memory_outbox set available_at = now() - interval '1 second'");
}
