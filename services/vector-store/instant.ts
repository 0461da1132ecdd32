/** A point in time in microseconds since 1970-01-01T00:00:00Z, PostgreSQL's own precision. */
export type Instant = bigint;

const first: Instant = -62_135_596_800_000_000n;
const last: Instant = 253_402_300_799_999_999n;

/** Whether a time lies in the years 0001 to 9999, all that RFC 3339 can write. */
export function isInstant(micros: bigint): boolean {
  return micros >= first && micros <= last;
}

export function instantNow(): Instant {
  return BigInt(Date.now()) * 1_000n;
}

/** Seconds and nanoseconds of a timestamp; what is finer than a microsecond is cut off. */
export function instantOf(seconds: bigint, nanos: number): Instant {
  return seconds * 1_000_000n + BigInt(Math.floor(nanos / 1_000));
}

/** The same time as whole seconds and nanoseconds of 0 to 999,999,999. */
export function secondsAndNanos(instant: Instant): { seconds: bigint; nanos: number } {
  const micros = ((instant % 1_000_000n) + 1_000_000n) % 1_000_000n;
  return { seconds: (instant - micros) / 1_000_000n, nanos: Number(micros) * 1_000 };
}

/** RFC 3339 in UTC with microseconds. */
export function formatInstant(instant: Instant): string {
  const { seconds, nanos } = secondsAndNanos(instant);
  const text = new Date(Number(seconds) * 1_000).toISOString();
  return `${text.slice(0, 19)}.${String(nanos / 1_000).padStart(6, "0")}Z`;
}

const rfc3339 =
  /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/** Undefined where the text is no time of RFC 3339. Leap seconds are not told apart: no `:60`. */
export function parseInstant(text: string): Instant | undefined {
  const parts = rfc3339.exec(text);
  if (parts === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts
    .slice(1, 7)
    .map(Number);
  const offsetMinutes = Number(parts[9] ?? 0) * 60 + Number(parts[10] ?? 0);
  const local = new Date(0);
  local.setUTCFullYear(year, month - 1, day);
  const exists = local.getUTCMonth() === month - 1 && local.getUTCDate() === day;
  const inDay = hour < 24 && minute < 60 && second < 60;
  const inOffset = Number(parts[9] ?? 0) < 24 && Number(parts[10] ?? 0) < 60;
  if (!exists || !inDay || !inOffset) return undefined;
  local.setUTCHours(hour, minute, second);
  const micros = BigInt((parts[7] ?? "").padEnd(9, "0").slice(0, 6));
  const east = parts[8] === "-" ? -1 : 1;
  const instant = BigInt(local.getTime() - east * offsetMinutes * 60_000) * 1_000n + micros;
  return isInstant(instant) ? instant : undefined;
}
