import { ConnectError } from "@connectrpc/connect";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { BadRequestSchema } from "../../../shared/gen/google/rpc/error_details_pb.js";
import { Role } from "../../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { MemoryType } from "../../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { type TestDatabase, testDatabase } from "../../../test/harness/postgres.ts";
import { FakePeers } from "./peers.ts";
import { type RunningService, startService } from "./running-service.ts";

/** The lesson of `telling`. */
export const lesson = "Use binary unnest for batches.";
/** A text that tells an insight. */
export const telling = `Done.\n\n★ Insight ─────\n${lesson}\n─────\n`;

export const agentMemory = (content: string, more: object = {}) => ({
  memory: { content, memoryType: MemoryType.AGENT, agentId: "a", ...more },
});
export const turnOf = (content: string, more: object = {}) => ({
  agentId: "a",
  sessionId: "s",
  role: Role.USER,
  content,
  ...more,
});

/** The memory process on PGlite with fake peers, fresh for every test of a file. */
export class ServiceSuite {
  peers = new FakePeers();
  #database: TestDatabase | undefined;
  #service: RunningService | undefined;

  /** Declares the hooks; call it at the top of a test file. */
  constructor() {
    beforeAll(async () => {
      this.#database = await testDatabase("pglite");
    });
    afterAll(() => this.#database?.close());
    beforeEach(async () => {
      await this.database.truncate();
      this.peers = new FakePeers();
      await this.start();
    });
    afterEach(() => this.stop());
  }

  get database(): TestDatabase {
    if (this.#database === undefined) throw new Error("the database is there in hooks and tests");
    return this.#database;
  }

  get service(): RunningService {
    if (this.#service === undefined) throw new Error("the service is stopped");
    return this.#service;
  }

  get client(): RunningService["client"] {
    return this.service.client;
  }

  /** Starts the process anew, after stopping the one that runs. */
  async start(env: Record<string, string> = {}, untilServing = true): Promise<void> {
    await this.stop();
    this.#service = await startService({
      postgresUrl: this.database.url,
      peers: this.peers.transports,
      env,
      untilServing,
    });
  }

  async stop(): Promise<void> {
    await this.#service?.[Symbol.asyncDispose]();
    this.#service = undefined;
  }

  /** How much work waits in the outbox. */
  async waiting(): Promise<number> {
    await using postgres = this.database.open({ poolSize: 1 });
    const { rows } = await postgres.query<{ count: number }>(
      "select count(*)::int as count from memory_outbox",
    );
    return rows[0]?.count ?? 0;
  }

  /** Lets time pass for what waits. */
  async makeDue(): Promise<void> {
    await using postgres = this.database.open({ poolSize: 1 });
    await postgres.query("update memory_outbox set available_at = now() - interval '1 second'");
  }

  async listTurns(sessionId = "s") {
    return (await this.client.listConversationTurns({ sessionId })).turns;
  }
}

/** The error with which the call fails. */
export async function failure(call: Promise<unknown>): Promise<ConnectError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ConnectError) return error;
    throw error;
  }
  throw new Error("the call did not fail");
}

/** The fields that a BadRequest names, in its order. */
export function fieldsOf(error: ConnectError): string[] {
  return error
    .findDetails(BadRequestSchema)
    .flatMap((bad) => bad.fieldViolations.map(({ field }) => field));
}
