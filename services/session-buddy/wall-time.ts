/// <reference lib="esnext.temporal" />

/**
 * Session-Buddy stores the wall time of its machine without a zone. DuckDB gives it as microseconds
 * as if it were UTC; these functions turn it into real time and back in the configured zone.
 */
export class WallTime {
  readonly zone: string;

  /** @throws RangeError when the zone is not an IANA name that this Node knows. */
  constructor(zone: string) {
    new Temporal.ZonedDateTime(0n, zone);
    this.zone = zone;
  }

  /**
   * Microseconds since 1970 UTC. A time that the clock showed twice is the earlier one; a time that
   * it skipped is moved forward by the gap.
   */
  toMicros(wallMicros: bigint): number | undefined {
    try {
      const zoned = plain(wallMicros).toZonedDateTime(this.zone, { disambiguation: "compatible" });
      return Number(zoned.epochNanoseconds / 1_000n);
    } catch {
      // DuckDB's infinities and years beyond Temporal's range are no times.
      return undefined;
    }
  }

  /** A time as text, ISO 8601: real time where it names an offset, else this zone's. */
  parse(text: string): number | undefined {
    return parseReal(text) ?? parsePlain(text, this.zone);
  }

  /** What the clock of the zone shows, as microseconds as if it were UTC. */
  fromMicros(micros: number): bigint {
    const shown = Temporal.Instant.fromEpochNanoseconds(BigInt(micros) * 1_000n)
      .toZonedDateTimeISO(this.zone)
      .toPlainDateTime();
    return shown.toZonedDateTime("UTC").epochNanoseconds / 1_000n;
  }
}

/** A time as text, ISO 8601; one without an offset is UTC. Microseconds since 1970. */
export function parseUtc(text: string): number | undefined {
  return parseReal(text) ?? parsePlain(text, "UTC");
}

function parseReal(text: string): number | undefined {
  try {
    return Number(Temporal.Instant.from(text).epochNanoseconds / 1_000n);
  } catch {
    return undefined;
  }
}

function parsePlain(text: string, zone: string): number | undefined {
  try {
    const zoned = Temporal.PlainDateTime.from(text).toZonedDateTime(zone);
    return Number(zoned.epochNanoseconds / 1_000n);
  } catch {
    return undefined;
  }
}

function plain(wallMicros: bigint): Temporal.PlainDateTime {
  return Temporal.Instant.fromEpochNanoseconds(wallMicros * 1_000n)
    .toZonedDateTimeISO("UTC")
    .toPlainDateTime();
}
