import { resolve } from "node:path";
import type { CallOptions, Client } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { Delivery } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { type RpcServer, service, startRpcServer } from "../../shared/rpc/server.ts";
import { tenantHeader } from "../../shared/rpc/tenant.ts";
import { FaultVictim } from "./fault-victim.ts";
import { type MemoryPeers, startMemoryPeers } from "./memory-peers.ts";
import { describeEachStore } from "./postgres.ts";

/** One kind of call, made again and again with another content each time. */
export interface Scenario {
  readonly name: string;
  /** Whether embedding is down while the call is made; it is back before what waits is looked at. */
  readonly embeddingIsDown?: true;
  /**
   * Whether the caller makes the call again, once after what was killed is back and once after all
   * is recovered. Both have to be answered, so that all pieces are there.
   */
  readonly repeated?: true;
  /** What is there before; made while nothing dies. */
  prepare?(at: Place): Promise<void>;
  call(at: Place): Promise<unknown>;
  /** The pieces of what the call does: true where a piece is there. All of them, or none. */
  pieces(at: Place): Promise<Readonly<Record<string, boolean>>>;
}

/** The parts of the call that dies at one step. */
export interface Place {
  readonly client: Client<typeof MemoryService>;
  readonly options: CallOptions;
  readonly tenant: string;
  readonly step: number;
  readonly look: Look;
  /** Of the memory that holds the text of this place before the call; empty where none does. */
  readonly memoryId: string;
}

/** What stands in the raw tables of a tenant, and how often an insight was handed over. */
export interface Look {
  count(table: string, condition: string, ...params: unknown[]): Promise<number>;
  delivered(lesson: string): number;
}

/** More steps than any call has. */
const mostSteps = 40;

/** What is said at this place, and nowhere else. */
export const textOf = (
  { tenant, step }: Pick<Place, "tenant" | "step">,
  label = "content",
): string => `${label} of ${tenant} ${step}`;

export const lessonOf = ({ tenant, step }: Pick<Place, "tenant" | "step">): string =>
  `Always ask twice before step ${step} of ${tenant.replaceAll("-", " ")} is taken.`;

/** A text that tells the lesson. */
export const telling = (at: Place, label = "content"): string =>
  `${textOf(at, label)}\n\n★ Insight ─────\n${lessonOf(at)}\n─────\n`;

export const hasContent = (at: Place, content: string): Promise<number> =>
  at.look.count("memories", "content = $2", content);

/** The insight of `telling`: stored once, and handed to Session-Buddy under one request id. */
export async function insightPieces(at: Place) {
  return {
    insight: (await hasContent(at, lessonOf(at))) === 1,
    delivered: at.look.delivered(lessonOf(at)) === 1,
  };
}

/** The memory, and its vector: no memory stays without one for ever. */
export async function embeddedMemory(at: Place) {
  const embedded = "content = $2 and embedding is not null";
  return {
    memory: (await hasContent(at, textOf(at))) === 1,
    vector: (await at.look.count("memories", embedded, textOf(at))) === 1,
  };
}

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

/**
 * Declares a test for each scenario on both stores: it is killed after every step, and leaves
 * nothing or everything. Where embedding is taken down they run one after another.
 */
export function describeWalks(scenarios: readonly Scenario[]): void {
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
          `update memory_outbox
           set available_at = now(), created_at = created_at - interval '1 hour'
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
          const place = { client: victim.client, options, tenant, step, look, memoryId: "" };
          await scenario.prepare?.(place);
          await recovered(tenant);
          // Read beside the call that dies: its steps are those of the call alone.
          const at = { ...place, memoryId: await idOfContent(tenant, textOf(place)) };
          if (scenario.embeddingIsDown) await peers.stop("embedding");
          expect(await victim.arm(step)).toBe(true);
          const answered = await scenario.call(at).then(
            () => true,
            () => false,
          );
          // Work that follows the answer may be the last step.
          const alive = await victim.arm(null);
          if (scenario.embeddingIsDown) await peers.restart("embedding");
          if (!alive) {
            await victim[Symbol.asyncDispose]();
            victim = await start();
          }
          const after = { ...at, client: victim.client };
          if (scenario.repeated) await scenario.call(after);
          await recovered(tenant);
          if (scenario.repeated) await scenario.call(after);
          const acknowledged = answered || scenario.repeated === true;
          const pieces = await scenario.pieces(after);
          const left = Object.values(pieces).filter(Boolean).length;
          const whole = left === Object.keys(pieces).length;
          const ids = [...(handed.get(lessonOf(at)) ?? [])];
          const told = `${scenario.name}, killed after step ${step}: ${JSON.stringify({ ...pieces, ids })}`;
          expect(whole || (left === 0 && !acknowledged), told).toBe(true);
          if (alive && answered) return step;
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

    const alone = scenarios.some(({ embeddingIsDown }) => embeddingIsDown);
    (alone ? it : it.concurrent).each(
      scenarios.map((scenario, n) => [scenario.name, scenario, n] as const),
    )(
      "of %s leaves nothing or everything",
      async (_name, scenario, n) => {
        // That many steps end before the call does: a walk of fewer has missed some.
        expect(await walk(scenario, `walk-${n}`)).toBeGreaterThanOrEqual(3);
      },
      300_000,
    );
  });
}
