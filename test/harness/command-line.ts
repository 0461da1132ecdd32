import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const wrapper = join(import.meta.dirname, "../../cli/mahavishnu.mjs");

export type JsonEvent = Readonly<Record<string, unknown>> & { readonly event: string };

/** The command line as a process: what it prints, line by line, and how it ends. */
export class CommandLine implements AsyncDisposable {
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  readonly #child: ChildProcess;
  readonly #exit: Promise<number>;
  #news = Promise.withResolvers<void>();

  constructor(args: readonly string[], env: Readonly<Record<string, string>>) {
    // A process group of its own, as a terminal gives it.
    this.#child = spawn(process.execPath, [wrapper, ...args], {
      env: { PATH: process.env["PATH"], ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const closed = [this.#follow("stdout"), this.#follow("stderr")];
    this.#exit = once(this.#child, "exit").then(async ([code, signal]) => {
      await Promise.all(closed);
      return code ?? (signal === null ? 0 : -1);
    });
    this.#exit.finally(() => this.#tell());
  }

  /** Events of `--json`. */
  get events(): readonly JsonEvent[] {
    return this.stdout.map((line) => JSON.parse(line) as JsonEvent);
  }

  /** The first event that fits, of those after `after`, once there is one; throws where it ends before. */
  async event(
    name: string,
    fits: (event: JsonEvent) => boolean = () => true,
    after = 0,
  ): Promise<JsonEvent> {
    const found = await this.#when(() =>
      this.events.slice(after).find((one) => one.event === name && fits(one)),
    );
    if (found === undefined) throw new Error(`no ${name}: ${this.stdout}\n${this.stderr}`);
    return found;
  }

  /** The first line of standard error that fits, once there is one. */
  async note(pattern: RegExp): Promise<string> {
    const found = await this.#when(() => this.stderr.find((line) => pattern.test(line)));
    if (found === undefined) throw new Error(`no ${pattern}: ${this.stderr}`);
    return found;
  }

  /** As Ctrl-C does, to all of the process group. */
  interrupt(): void {
    if (this.#child.pid !== undefined) process.kill(-this.#child.pid, "SIGINT");
  }

  /** Its exit code. */
  get exit(): Promise<number> {
    return this.#exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid) {
      process.kill(-this.#child.pid, "SIGKILL");
    }
    await this.#exit;
  }

  async #when<T>(look: () => T | undefined): Promise<T | undefined> {
    let over = false;
    this.#exit.finally(() => {
      over = true;
    });
    for (;;) {
      const found = look();
      if (found !== undefined || over) return found;
      await this.#news.promise;
    }
  }

  async #follow(name: "stdout" | "stderr"): Promise<void> {
    const input = this.#child[name];
    if (input === null) return;
    for await (const line of createInterface({ input })) {
      this[name].push(line);
      this.#tell();
    }
  }

  #tell(): void {
    const { resolve } = this.#news;
    this.#news = Promise.withResolvers<void>();
    resolve();
  }
}
