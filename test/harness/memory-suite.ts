import type { Client } from "@connectrpc/connect";
import { afterAll, beforeAll } from "vitest";
import { startService } from "../../services/memory/testing/running-service.ts";
import type { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { type MemoryPeers, startMemoryPeers } from "./memory-peers.ts";
import type { TestDatabase } from "./postgres.ts";

interface Parts {
  readonly peers: MemoryPeers;
  readonly client: Client<typeof MemoryService>;
  readonly postgres: Postgres;
}

/** The memory process with its real peers on the database of `describeEachStore`. */
export class MemorySuite {
  readonly #resources = new Resources();
  #parts: Parts | undefined;

  /** Declares the hooks; call it at the top of a suite. */
  constructor(database: () => TestDatabase) {
    beforeAll(async () => {
      const peers = await startMemoryPeers(database().url);
      this.#resources.use("peers", peers);
      const service = await startService({ postgresUrl: database().url, env: peers.env });
      this.#resources.use("memory", service);
      const postgres = database().open({ poolSize: 2 });
      this.#parts = { peers, client: service.client, postgres };
    });
    afterAll(() => this.#resources[Symbol.asyncDispose]());
  }

  get peers(): MemoryPeers {
    return this.#started().peers;
  }

  get client(): Client<typeof MemoryService> {
    return this.#started().client;
  }

  get postgres(): Postgres {
    return this.#started().postgres;
  }

  readonly store = async (content: string, more: object = {}) => {
    const memory = { content, memoryType: MemoryType.AGENT, agentId: "a", ...more };
    const answer = await this.client.storeMemory({ memory });
    if (answer.memory === undefined) throw new Error("a store answers its memory");
    return answer.memory;
  };

  /** Every table of the database that holds any of these texts anywhere. */
  readonly tablesThatHold = async (...texts: string[]): Promise<string[]> => {
    const { rows } = await this.postgres.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
       where schemaname not in ('pg_catalog', 'information_schema')`,
    );
    const holding: string[] = [];
    for (const { name } of rows) {
      const found = await this.postgres.query<{ count: number }>(
        `select count(*)::int as count from ${name} as t
         where exists (select from unnest($1::text[]) as x (text) where position(x.text in t::text) > 0)`,
        [texts],
      );
      if ((found.rows[0]?.count ?? 0) > 0) holding.push(name);
    }
    return holding;
  };

  #started(): Parts {
    if (this.#parts === undefined) throw new Error("the service is there in hooks and tests");
    return this.#parts;
  }
}
