import { createLogUpdate } from "log-update";

/** How often a reader that is no terminal is told; longer after a while, so that logs stay readable. */
const plainEveryMs = 5_000;
const laterEveryMs = 30_000;
const laterAfterMs = 60_000;

/**
 * Shows what changes, on standard error: on a terminal a block of lines that is drawn again in its
 * place, else a line now and then.
 */
export class LiveDisplay {
  readonly isLive: boolean;
  readonly #stream: NodeJS.WriteStream;
  readonly #update: ReturnType<typeof createLogUpdate>;
  readonly #begun = performance.now();
  #lastPlain = this.#begun;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
    this.isLive = stream.isTTY === true && process.env["TERM"] !== "dumb";
    this.#update = createLogUpdate(stream);
  }

  /** Draws the block in the place of the one before; each line is cut to the terminal's width. */
  draw(lines: readonly string[]): void {
    if (!this.isLive) return;
    const width = (this.#stream.columns || 120) - 1;
    this.#update(lines.map((line) => line.slice(0, width)).join("\n"));
  }

  /** A line of progress where there is no terminal; left out where the last one is young. */
  tell(line: string, isDue = false): void {
    if (this.isLive) return;
    const now = performance.now();
    const pause = now - this.#begun > laterAfterMs ? laterEveryMs : plainEveryMs;
    if (!isDue && now - this.#lastPlain < pause) return;
    this.#lastPlain = now;
    this.#stream.write(`${line}\n`);
  }

  /** A line that stays. */
  say(line: string): void {
    if (this.isLive) this.#update.clear();
    this.#stream.write(`${line}\n`);
  }

  /** Removes the block, so that what follows begins on a clean line. */
  clear(): void {
    if (!this.isLive) return;
    this.#update.clear();
    this.#update.done();
  }
}
