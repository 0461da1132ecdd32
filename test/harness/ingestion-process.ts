import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Client } from "@connectrpc/connect";
import { IngestionService } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { createClient, createGrpcTransport, type GrpcTransport } from "../../shared/rpc/client.ts";

const main = join(import.meta.dirname, "../../services/ingestion/main.ts");

/** The ingestion service as a process of its own, to be killed. */
export class IngestionProcess implements AsyncDisposable {
  readonly client: Client<typeof IngestionService>;
  readonly #child: ChildProcess;
  readonly #gone: Promise<unknown>;
  readonly #transport: GrpcTransport;

  private constructor(child: ChildProcess, gone: Promise<unknown>, address: string) {
    this.#child = child;
    this.#gone = gone;
    this.#transport = createGrpcTransport({ address });
    this.client = createClient(IngestionService, this.#transport);
  }

  /** Resolves when it listens. */
  static async start(env: Readonly<Record<string, string>>): Promise<IngestionProcess> {
    const child = spawn(process.execPath, [main], {
      env: {
        PATH: process.env["PATH"],
        MAHAVISHNU_INGESTION_PORT: "0",
        MAHAVISHNU_SHUTDOWN_GRACE_MS: "5000",
        ...env,
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const gone = once(child, "exit");
    const lines = createInterface({ input: child.stdout });
    const address = await new Promise<string>((resolve, reject) => {
      lines.on("line", (line) => {
        const { msg, address: found } = JSON.parse(line) as Record<string, string>;
        if (msg === "listening" && found !== undefined) resolve(found);
      });
      gone.then(() => reject(new Error("the ingestion process ended before it listened")));
    });
    return new IngestionProcess(child, gone, address);
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Stops it, as a machine that hangs, or lets it go on. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(signal);
  }

  /** Resolves when the process is gone. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    this.#child.kill(signal);
    await this.#gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#transport.close();
    if (this.isAlive) await this.end("SIGKILL");
  }
}
