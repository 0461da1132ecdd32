import { type ChildProcess, fork } from "node:child_process";
import { resolve } from "node:path";
import { type Client, createClient } from "@connectrpc/connect";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../shared/gen/health/v1/health_pb.js";
import { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { sleep } from "../../shared/lifecycle.ts";
import { createGrpcTransport, type GrpcTransport } from "../../shared/rpc/client.ts";

const main = resolve(import.meta.dirname, "fault-main.ts");
const startMs = 60_000;

/** A memory process of its own that dies at a step that it is told; see `fault-main.ts`. */
export class FaultVictim implements AsyncDisposable {
  readonly client: Client<typeof MemoryService>;
  readonly #child: ChildProcess;
  readonly #transport: GrpcTransport;
  readonly #ended: Promise<void>;

  private constructor(child: ChildProcess, transport: GrpcTransport) {
    this.#child = child;
    this.#transport = transport;
    this.client = createClient(MemoryService, transport);
    this.#ended = new Promise((done) => child.once("exit", () => done()));
  }

  /** Resolves when it serves. */
  static async start(env: Readonly<Record<string, string>>): Promise<FaultVictim> {
    const child = fork(main, { env: { ...process.env, ...env }, execArgv: [], stdio: "inherit" });
    const { address } = await reply<{ address: string }>(child);
    const transport = createGrpcTransport({ address, retry: { maxAttempts: 1 } });
    child.on("error", () => {});
    const victim = new FaultVictim(child, transport);
    const health = createClient(Health, transport);
    const deadline = AbortSignal.timeout(startMs);
    for (;;) {
      const { status } = await health.check({ service: MemoryService.typeName });
      if (status === ServingStatus.SERVING) return victim;
      await sleep(20, deadline);
    }
  }

  /**
   * From now on `steps` steps end, and with the last of them the process; null: none is the last.
   * False where it has ended before.
   */
  async arm(steps: number | null): Promise<boolean> {
    const armed = reply(this.#child).then(
      () => true,
      () => false,
    );
    // A process that is gone has no channel: that is told by its exit.
    this.#child.send({ arm: steps }, () => {});
    return await armed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#transport.close();
    this.#child.kill("SIGKILL");
    await this.#ended;
  }
}

/** The next message of the process; rejects where it ends instead. */
function reply<T>(child: ChildProcess): Promise<T> {
  return new Promise((done, failed) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      failed(new Error("the process has ended"));
      return;
    }
    const onExit = () => failed(new Error("the process ended"));
    child.once("exit", onExit);
    child.once("message", (message) => {
      child.off("exit", onExit);
      done(message as T);
    });
  });
}
