/** The parts of the pipeline that work side by side. */
export type PipelineStage = "read" | "split" | "embed" | "store";

interface StageTimes {
  /** How many are at work. */
  count: number;
  /** Since when `count` is what it is. */
  since: number;
  /** For how long at least one was at work. */
  busyMs: number;
  /** For how long all of them together were. */
  workMs: number;
}

/**
 * For how long each part of the pipeline had something to do; parts overlap. Where files are read
 * ahead of the batches that are embedded and stored, it also tells which of them sets the pace: while
 * all batches are under way reading has to wait for them, and else they for reading.
 */
export class StageClock {
  readonly #times: Record<PipelineStage, StageTimes> = {
    read: noTime(),
    split: noTime(),
    embed: noTime(),
    store: noTime(),
  };
  #reading: { readonly since: number; fullMs: number; fullSince: number | undefined } | undefined;
  #fullShare: number | undefined;

  async time<T>(stage: PipelineStage, work: () => Promise<T>): Promise<T> {
    const times = this.#times[stage];
    advance(times);
    times.count++;
    try {
      return await work();
    } finally {
      advance(times);
      times.count--;
    }
  }

  /** Work that was done elsewhere, one after the other. */
  add(stage: PipelineStage, ms: number): void {
    const times = this.#times[stage];
    times.busyMs += ms;
    times.workMs += ms;
  }

  /** From now on files are read ahead of the batches. */
  beginReading(): void {
    this.#reading = { since: performance.now(), fullMs: 0, fullSince: undefined };
  }

  /** As many batches are under way as may be, or no more. */
  full(isFull: boolean): void {
    const reading = this.#reading;
    if (reading === undefined) return;
    const now = performance.now();
    if (reading.fullSince !== undefined) reading.fullMs += now - reading.fullSince;
    reading.fullSince = isFull ? now : undefined;
    this.#fullShare = shareOf(reading.fullMs, now - reading.since);
  }

  /** All files are read; what is under way comes to its end. */
  endReading(): void {
    this.full(false);
    this.#reading = undefined;
  }

  /** So far, what is at work now included. */
  busyMs(): Readonly<Record<PipelineStage, number>> {
    const of = (stage: PipelineStage) => advance(this.#times[stage]).busyMs;
    return { read: of("read"), split: of("split"), embed: of("embed"), store: of("store") };
  }

  /** The part that sets the pace; undefined before anything was done. */
  slowest(): PipelineStage | undefined {
    if (this.#reading !== undefined) this.full(this.#reading.fullSince !== undefined);
    const candidates: readonly PipelineStage[] =
      this.#fullShare === undefined
        ? ["read", "split", "embed", "store"]
        : this.#fullShare >= 0.5
          ? ["embed", "store"]
          : ["read", "split"];
    let slowest: PipelineStage | undefined;
    let most = 0;
    for (const stage of candidates) {
      const { workMs } = advance(this.#times[stage]);
      if (workMs > most) [slowest, most] = [stage, workMs];
    }
    return slowest;
  }
}

function noTime(): StageTimes {
  return { count: 0, since: 0, busyMs: 0, workMs: 0 };
}

/** Brings times up to now. */
function advance(times: StageTimes): StageTimes {
  const now = performance.now();
  if (times.count > 0) {
    times.busyMs += now - times.since;
    times.workMs += (now - times.since) * times.count;
  }
  times.since = now;
  return times;
}

function shareOf(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0;
}
