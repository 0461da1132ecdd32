import { note } from "./output.ts";

export interface ProgressState {
  readonly label: string;
  readonly done: number;
  /** 0 while it is not known. */
  readonly total: number;
  readonly unit: string;
  readonly extra: string;
  /** A second; by default from the start of this line. */
  readonly rate?: number;
}

const barWidth = 30;
const plainEveryMs = 2_000;

/**
 * Shows progress on standard error: one line that is drawn again on a terminal, else a line every
 * two seconds, so that logs stay readable.
 */
export class ProgressLine {
  readonly #startedAt = performance.now();
  readonly #stream: NodeJS.WriteStream;
  #lastPlain = 0;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  update(state: ProgressState): void {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const text = progressText(state, seconds);
    if (this.#stream.isTTY) {
      const width = this.#stream.columns ?? 120;
      this.#stream.write(`\r\x1b[2K${text.slice(0, width - 1)}`);
      return;
    }
    if (performance.now() - this.#lastPlain < plainEveryMs) return;
    this.#lastPlain = performance.now();
    note(text);
  }

  /** Removes the line, so that what follows begins on a clean one. */
  clear(): void {
    if (this.#stream.isTTY) this.#stream.write("\r\x1b[2K");
  }
}

/** `ingesting  ████░░░░  40 %  40/100 files  12.0/s  5 s left  80 chunks`. */
export function progressText(state: ProgressState, seconds: number): string {
  const { label, done, total, unit, extra } = state;
  const rate = state.rate ?? (seconds > 0 ? done / seconds : 0);
  const parts = [label.padEnd(10)];
  if (total > 0) {
    const share = Math.min(1, done / total);
    const filled = Math.round(share * barWidth);
    parts.push("█".repeat(filled) + "░".repeat(barWidth - filled));
    parts.push(`${Math.floor(share * 100)} %`.padStart(5));
    parts.push(`${done}/${total} ${unit}`);
  } else {
    parts.push(`${done} ${unit}`);
  }
  if (rate > 0) parts.push(`${rate.toFixed(1)}/s`);
  if (rate > 0 && total > done) parts.push(`${Math.ceil((total - done) / rate)} s left`);
  if (extra !== "") parts.push(extra);
  return parts.join("  ");
}
