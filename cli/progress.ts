import { LiveDisplay } from "./live-display.ts";
import { clock, count } from "./output.ts";

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

/** Shows the progress of one thing. */
export class ProgressLine {
  readonly #startedAt = performance.now();
  readonly #display = new LiveDisplay();

  update(state: ProgressState): void {
    const text = progressText(state, (performance.now() - this.#startedAt) / 1000);
    this.#display.draw([text]);
    this.#display.tell(text);
  }

  clear(): void {
    this.#display.clear();
  }
}

/** `ingesting  ████░░░░  40 %  40/100 files  12.0/s  0:05 left  80 chunks`. */
export function progressText(state: ProgressState, seconds: number): string {
  const { label, done, total, unit, extra } = state;
  const rate = state.rate ?? (seconds > 0 ? done / seconds : 0);
  const parts = [label.padEnd(10)];
  if (total > 0) {
    parts.push(bar(done / total), percent(done / total));
    parts.push(`${count(done)}/${count(total)} ${unit}`);
  } else {
    parts.push(`${count(done)} ${unit}`);
  }
  if (rate > 0) parts.push(rateText(rate));
  if (rate > 0 && total > done) parts.push(`${clock(Math.ceil((total - done) / rate))} left`);
  if (extra !== "") parts.push(extra);
  return parts.join("  ");
}

/** A share from 0 to 1 as blocks. */
export function bar(share: number): string {
  const filled = Math.round(Math.max(0, Math.min(1, share)) * barWidth);
  return "█".repeat(filled) + "░".repeat(barWidth - filled);
}

/** Never 100 before the end. */
export function percent(share: number): string {
  return `${Math.floor(Math.max(0, Math.min(1, share)) * 100)} %`.padStart(5);
}

export function rateText(rate: number): string {
  return `${rate < 100 ? rate.toFixed(1) : count(Math.round(rate))}/s`;
}
