import { styleText } from "node:util";

/** Exit codes of the command line. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, unhealthy: 3 } as const;

/** Prints one JSON document; the only thing on standard output with `--json`. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** For what is not the answer itself: progress and notes. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function coloured(colour: "green" | "yellow" | "red" | "dim", text: string): string {
  return styleText(colour, text, { stream: process.stdout });
}

/** At most so many characters of a text, on one line. */
export function excerpt(text: string, length: number): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`;
}

/** `1.2 s`, `340 ms`. */
export function duration(seconds: bigint | number, nanos = 0): string {
  const ms = Number(seconds) * 1000 + nanos / 1e6;
  return ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}
