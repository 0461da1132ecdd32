import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, copyFileSync, openSync, readFileSync, statSync, truncateSync } from "node:fs";
import { exitCodes } from "../../shared/process.ts";

/** What a supervised process reports to whoever watches. */
export type ProcessEvent =
  | {
      readonly kind: "restarting";
      readonly name: string;
      readonly reason: string;
      readonly inMs: number;
    }
  | { readonly kind: "gave-up"; readonly name: string; readonly reason: string };

export interface ProcessOptions {
  readonly name: string;
  /** The TypeScript file that it runs. */
  readonly main: string;
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Standard output and error are appended here. */
  readonly logPath: string;
  readonly onEvent: (event: ProcessEvent) => void;
}

const firstDelayMs = 250;
const longestDelayMs = 30_000;
/** A process that ran this long is taken to be healthy: the next failure starts over. */
const steadyMs = 30_000;
const largestLogBytes = 10 * 1024 * 1024;
const logCheckMs = 60_000;

/**
 * A child process that is started again when it dies, after a delay that doubles from 250 ms to
 * 30 s. A process that ends with the exit code for a wrong configuration is not started again.
 */
export class SupervisedProcess {
  readonly name: string;
  readonly #options: ProcessOptions;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #logCheck: NodeJS.Timeout | undefined;
  #stopping = false;
  #failures = 0;
  #startedAt = 0;

  constructor(options: ProcessOptions) {
    this.name = options.name;
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** How often it has died since it last ran steadily. */
  get failures(): number {
    return this.#failures;
  }

  start(): void {
    const { main, cwd, env, logPath } = this.#options;
    this.#stopping = false;
    this.#logCheck ??= setInterval(() => rotate(logPath), logCheckMs).unref();
    rotate(logPath);
    const log = openSync(logPath, "a");
    // A process group of its own: Ctrl-C in a terminal reaches the supervisor alone, which stops
    // its children in order. The IPC channel ends with the supervisor, however that ends.
    const child = spawn(process.execPath, [main], {
      cwd,
      env,
      detached: true,
      stdio: ["ignore", log, log, "ipc"],
    });
    closeSync(log);
    this.#child = child;
    this.#startedAt = performance.now();
    child.once("error", (error) => this.#ended(child, error.message));
    child.once("exit", (code, signal) =>
      this.#ended(child, signal === null ? `exit code ${code}` : `signal ${signal}`, code),
    );
  }

  /** Sends SIGTERM, waits, then SIGKILL. Resolves when the process is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    clearInterval(this.#logCheck);
    this.#logCheck = undefined;
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    const force = setTimeout(() => child.kill("SIGKILL"), graceMs);
    await gone;
    clearTimeout(force);
  }

  /** Sends a signal; what follows is as if the process had died by itself. */
  kill(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** The last lines of its log, for a message about why it failed. */
  lastLogLines(count: number): string[] {
    const lines = readFileSync(this.#options.logPath, "utf8").trimEnd().split("\n");
    return lines.slice(-count);
  }

  #ended(child: ChildProcess, reason: string, code: number | null = null): void {
    if (child !== this.#child || this.#stopping) return;
    this.#child = undefined;
    const { name, onEvent } = this.#options;
    if (code === exitCodes.configuration) {
      this.#failures += 1;
      onEvent({ kind: "gave-up", name, reason: "its configuration is wrong" });
      return;
    }
    if (performance.now() - this.#startedAt > steadyMs) this.#failures = 0;
    const inMs = Math.min(longestDelayMs, firstDelayMs * 2 ** this.#failures);
    this.#failures += 1;
    onEvent({ kind: "restarting", name, reason, inMs });
    this.#timer = setTimeout(() => this.start(), inMs);
  }
}

/** Moves a large log aside. The process goes on appending to the same file, so it is emptied. */
function rotate(logPath: string): void {
  const size = statSync(logPath, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= largestLogBytes) return;
  copyFileSync(logPath, `${logPath}.1`);
  truncateSync(logPath);
}
