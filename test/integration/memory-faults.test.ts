import { resolve } from "node:path";
import type { CallOptions, Client } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import type { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { WorkflowStatus } from "../../shared/gen/mahavishnu/memory/v1/workflow_pb.js";
import { Delivery } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { type RpcServer, service, startRpcServer } from "../../shared/rpc/server.ts";
import { tenantHeader } from "../../shared/rpc/tenant.ts";
import { FaultVictim } from "../harness/fault-victim.ts";
import { type MemoryPeers, startMemoryPeers } from "../harness/memory-peers.ts";
import { describeEachStore } from "../harness/postgres.ts";

type Memory = Client<typeof MemoryService>;

/** One kind of call, made again and again with another content each time. */
interface Scenario {
  readonly name: string;
  /** What is there before; made while nothing dies. */
  prepare?(at: Place): Promise<void>;
  call(at: Place): Promise<unknown>;
  /** The pieces of what the call does: true where a piece is there. All of them, or none. */
  pieces(at: Place): Promise<Readonly<Record<string, boolean>>>;
}

/** The parts of the call that dies at one step. */
interface Place {
  readonly client: Memory;
  readonly options: CallOptions;
  readonly tenant: string;
  readonly step: number;
  readonly look: Look;
}

/** What stands in the raw tables of a tenant, and how often an insight was handed over. */
interface Look {
  count(table: string, condition: string, ...params: unknown[]): Promise<number>;
  delivered(lesson: string): number;
}

/** More steps than any call has. */
const mostSteps = 40;

const lessonOf = ({ tenant, step }: Place) =>
  `Always ask twice before step ${step} of ${tenant.replaceAll("-", " ")} is taken.`;
const telling = (at: Place) => `${textOf(at)}\n\n★ Insight ─────\n${lessonOf(at)}\n─────\n`;
const textOf = ({ tenant, step }: Place, label = "content") => `${label} of ${tenant} ${step}`;

const hasContent = (at: Place, content: string) =>
  at.look.count("memories", "content = $2", content);
/** The insight of `telling`: stored once, and handed to Session-Buddy under one request id. */
async function insightPieces(at: Place) {
  return {
    insight: (await hasContent(at, lessonOf(at))) === 1,
    delivered: at.look.delivered(lessonOf(at)) === 1,
  };
}

const scenarios: readonly Scenario[] = [
  {
    name: "StoreMemory with an insight and a request id",
    call: (at) =>
      at.client.storeMemory(
        {
          memory: { content: telling(at), memoryType: MemoryType.AGENT, agentId: "a" },
          requestId: `request-${at.step}`,
        },
        at.options,
      ),
    async pieces(at) {
      return {
        memory: (await hasContent(at, telling(at))) === 1,
        request:
          (await at.look.count("request_ids", "request_id = $2", `request-${at.step}`)) === 1,
        ...(await insightPieces(at)),
      };
    },
  },
  {
    name: "StoreConversationTurn",
    call: (at) =>
      at.client.storeConversationTurn(
        { agentId: "a", sessionId: `s-${at.step}`, role: Role.USER, content: textOf(at) },
        at.options,
      ),
    async pieces(at) {
      return {
        memory: (await hasContent(at, textOf(at))) === 1,
        turn: (await at.look.count("agent_conversations", "content = $2", textOf(at))) === 1,
      };
    },
  },
  {
    name: "StoreConversationTurn with an insight",
    call: (at) =>
      at.client.storeConversationTurn(
        { agentId: "a", sessionId: `s-${at.step}`, role: Role.USER, content: telling(at) },
        at.options,
      ),
    async pieces(at) {
      return {
        memory: (await hasContent(at, telling(at))) === 1,
        turn: (await at.look.count("agent_conversations", "content = $2", telling(at))) === 1,
        ...(await insightPieces(at)),
      };
    },
  },
  {
    name: "a request of BulkStore that tells an insight",
    async call(at) {
      const memories = ["first", "second"].map((label) => ({
        content: `${textOf(at, label)}\n\n★ Insight ─────\n${lessonOf(at)}\n─────\n`,
        memoryType: MemoryType.RAG,
      }));
      const requests = async function* () {
        yield { sequence: 1n, memories };
      };
      for await (const { results, error } of at.client.bulkStore(requests(), at.options)) {
        expect(error).toBeUndefined();
        expect(results).toHaveLength(memories.length);
        for (const result of results) expect(result.error).toBeUndefined();
      }
    },
    async pieces(at) {
      const stored = (label: string) =>
        at.look.count("memories", "content like $2 || '%'", `${textOf(at, label)}\n`);
      return {
        first: (await stored("first")) === 1,
        second: (await stored("second")) === 1,
        ...(await insightPieces(at)),
      };
    },
  },
  {
    name: "UpdateMemory with an insight in the new content",
    async prepare(at) {
      const memory = { id: `m-${at.step}`, content: textOf(at), memoryType: MemoryType.RAG };
      await at.client.storeMemory({ memory }, at.options);
    },
    call: (at) =>
      at.client.updateMemory(
        { memory: { id: `m-${at.step}`, content: telling(at), metadata: { changed: true } } },
        at.options,
      ),
    async pieces(at) {
      const id = `m-${at.step}`;
      const is = (condition: string, value: string) =>
        at.look.count("memories", `id = $2 and ${condition}`, id, value);
      return {
        content: (await is("content = $3", telling(at))) === 1,
        metadata: (await is("metadata = $3::jsonb", '{"changed": true}')) === 1,
        oldGone: (await hasContent(at, textOf(at))) === 0,
        version:
          (await at.look.count(
            "memory_versions",
            "memory_id = $2 and memory ->> 'content' = $3",
            id,
            textOf(at),
          )) === 1,
        ...(await insightPieces(at)),
      };
    },
  },
  {
    name: "DeleteMemory of a turn's memory with a history",
    async prepare(at) {
      const { memoryId } = await at.client.storeConversationTurn(
        { agentId: "a", sessionId: `s-${at.step}`, role: Role.USER, content: textOf(at) },
        at.options,
      );
      await at.client.updateMemory({ memory: { id: memoryId, metadata: { k: 1 } } }, at.options);
    },
    async call(at) {
      // Read beside the call that dies: its steps are those of the deletion.
      const id = await memoryIdOf(at);
      await at.client.deleteMemory({ id }, at.options);
    },
    async pieces(at) {
      return {
        memory: (await hasContent(at, textOf(at))) === 0,
        turn: (await at.look.count("agent_conversations", "content = $2", textOf(at))) === 0,
        versions:
          (await at.look.count("memory_versions", "memory ->> 'content' = $2", textOf(at))) === 0,
      };
    },
  },
  {
    name: "RecordWorkflowExecution of a new state",
    async prepare(at) {
      await record(at, WorkflowStatus.RUNNING);
    },
    call: (at) => record(at, WorkflowStatus.COMPLETED),
    async pieces(at) {
      const id = workflowOf(at);
      const row = "workflow_id = $2 and status = 'completed'";
      const document = "workflow_id = $2 and metadata ->> 'status' = 'completed'";
      return {
        row: (await at.look.count("workflow_executions", row, id)) === 1,
        memory: (await at.look.count("memories", document, id)) === 1,
        words:
          (await at.look.count("memories", "content like '%' || $2 || '%completed%'", id)) === 1,
      };
    },
  },
];

const memoryIds = new Map<string, string>();
async function memoryIdOf(at: Place): Promise<string> {
  return memoryIds.get(textOf(at)) ?? "";
}

const workflowOf = ({ tenant, step }: Place) => `${tenant}.${step}`;
const record = (at: Place, status: WorkflowStatus) =>
  at.client.recordWorkflowExecution(
    { execution: { workflowId: workflowOf(at), adapter: "prefect", status } },
    at.options,
  );

/** In place of Session-Buddy's bridge: notes what it is handed, and takes it at once. */
function startBridge(handed: Map<string, Set<string>>): Promise<RpcServer> {
  return startRpcServer({
    host: "127.0.0.1",
    port: 0,
    health: new HealthRegistry(),
    logger: silentLogger(),
    services: [
      service(SessionBuddyService, {
        async storeInsight({ content, requestId }) {
          handed.set(content, (handed.get(content) ?? new Set()).add(requestId));
          return { id: requestId, delivery: Delivery.WRITTEN };
        },
      }),
    ],
  });
}

describeEachStore("SIGKILL at every step", (_kind, database) => {
  const resources = new Resources();
  let peers: MemoryPeers;
  let bridge: RpcServer;
  let postgres: Postgres;
  /** The request ids under which the bridge was handed each lesson. */
  const handed = new Map<string, Set<string>>();

  beforeAll(async () => {
    peers = await startMemoryPeers(database().url);
    resources.use("peers", peers);
    bridge = await startBridge(handed);
    resources.use("bridge", bridge);
    postgres = database().open({ poolSize: 3 });
  });
  afterAll(() => resources[Symbol.asyncDispose]());

  const start = () =>
    FaultVictim.start({
      ...peers.env,
      MAHAVISHNU_SESSION_BUDDY_ADDRESS: bridge.address,
      // Started dozens of times: compiled once.
      NODE_COMPILE_CACHE: resolve(import.meta.dirname, "../../node_modules/.cache/compile"),
      MAHAVISHNU_PG_URL: database().url,
      MAHAVISHNU_PG_POOL_SIZE: "12",
      MAHAVISHNU_PG_MAX_OVERFLOW: "0",
      MAHAVISHNU_MEMORY_PORT: "0",
      MAHAVISHNU_MEMORY_PROBE_INTERVAL_MS: "100",
      MAHAVISHNU_MEMORY_OUTBOX_INTERVAL_MS: "200",
    });

  function lookOf(tenant: string): Look {
    return {
      async count(table, condition, ...params) {
        const { rows } = await postgres.query<{ count: number }>(
          `select count(*)::int as count from ${table} where tenant = $1 and (${condition})`,
          [tenant, ...params],
        );
        return rows[0]?.count ?? 0;
      },
      delivered: (lesson) => handed.get(lesson)?.size ?? 0,
    };
  }

  /** Lets time pass for what waits, until nothing does. */
  async function recovered(tenant: string): Promise<void> {
    const deadline = AbortSignal.timeout(120_000);
    for (;;) {
      // A statement of its own: an update does not see what the work it waits for leaves behind.
      const { rowCount } = await postgres.query("select from memory_outbox where tenant = $1", [
        tenant,
      ]);
      if (rowCount === 0) return;
      await postgres.query(
        `update memory_outbox set available_at = now()
         where tenant = $1 and available_at > now() + interval '1 second'`,
        [tenant],
      );
      await sleep(100, deadline);
    }
  }

  async function walk(scenario: Scenario, tenant: string): Promise<number> {
    const look = lookOf(tenant);
    const options = { headers: { [tenantHeader]: tenant }, timeoutMs: 60_000 };
    let victim = await start();
    try {
      for (let step = 0; step < mostSteps; step++) {
        const at = { client: victim.client, options, tenant, step, look };
        await scenario.prepare?.(at);
        await recovered(tenant);
        memoryIds.set(textOf(at), await idOfContent(tenant, textOf(at)));
        expect(await victim.arm(step)).toBe(true);
        const acknowledged = await scenario.call(at).then(
          () => true,
          () => false,
        );
        // Work that follows the answer may be the last step.
        const alive = await victim.arm(null);
        if (!alive) {
          await victim[Symbol.asyncDispose]();
          victim = await start();
        }
        await recovered(tenant);
        const pieces = await scenario.pieces({ ...at, client: victim.client });
        const left = Object.values(pieces).filter(Boolean).length;
        const whole = left === Object.keys(pieces).length;
        const ids = [...(handed.get(lessonOf(at)) ?? [])];
        const told = `${scenario.name}, killed after step ${step}: ${JSON.stringify({ ...pieces, ids })}`;
        expect(whole || (left === 0 && !acknowledged), told).toBe(true);
        if (alive && acknowledged) return step;
      }
      throw new Error(`${scenario.name} never came to its end`);
    } finally {
      await victim[Symbol.asyncDispose]();
    }
  }

  async function idOfContent(tenant: string, content: string): Promise<string> {
    const { rows } = await postgres.query<{ id: string }>(
      "select id from memories where tenant = $1 and content = $2",
      [tenant, content],
    );
    return rows[0]?.id ?? "";
  }

  it.concurrent.each(scenarios.map((scenario, n) => [scenario.name, scenario, n] as const))(
    "of %s leaves nothing or everything",
    async (_name, scenario, n) => {
      // That many steps end before the call does: a walk of fewer has missed some.
      expect(await walk(scenario, `walk-${n}`)).toBeGreaterThanOrEqual(3);
    },
    300_000,
  );
});
