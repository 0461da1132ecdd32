import { styleText } from "node:util";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

/** Exit codes of the command line; main.ts tells what they mean in its help. */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  unhealthy: 3,
  lost: 4,
  interrupted: 130,
} as const;

/** Prints one JSON document; the only thing on standard output with `--json`. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** Prints one JSON object on a line of its own, for a reader that follows. */
export function printJsonLine(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
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

/** `12,345`. */
export function count(value: bigint | number): string {
  return value.toLocaleString("en-US");
}

/** `0:07`, `12:34`, `1:02:03`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const tail = `:${String(whole % 60).padStart(2, "0")}`;
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}${tail}` : `${minutes}${tail}`;
}

/** Seconds of a protobuf duration. */
export function secondsOf(value: { seconds: bigint; nanos: number } | undefined): number {
  return Number(value?.seconds ?? 0n) + (value?.nanos ?? 0) / 1e9;
}

/** As in JSON; null where there is none. */
export function timeOf(time: Timestamp | undefined): string | null {
  return time === undefined ? null : timestampDate(time).toISOString();
}

/** `1.2 s`, `340 ms`. */
export function duration(seconds: bigint | number, nanos = 0): string {
  const ms = Number(seconds) * 1000 + nanos / 1e6;
  return ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}
