/** The parts of the pipeline that work side by side. */
export type PipelineStage = "read" | "split" | "embed" | "store";

/** For how long each part of the pipeline had something to do; parts overlap. */
export class StageClock {
  readonly #busyMs = new Map<PipelineStage, number>();
  readonly #active = new Map<PipelineStage, { count: number; since: number }>();

  async time<T>(stage: PipelineStage, work: () => Promise<T>): Promise<T> {
    const now = performance.now();
    const active = this.#active.get(stage) ?? { count: 0, since: now };
    if (active.count === 0) active.since = now;
    active.count++;
    this.#active.set(stage, active);
    try {
      return await work();
    } finally {
      active.count--;
      if (active.count === 0) this.#add(stage, performance.now() - active.since);
    }
  }

  /** So far, what is at work now included. */
  busyMs(): Readonly<Record<PipelineStage, number>> {
    const busy = { read: 0, split: 0, embed: 0, store: 0, ...Object.fromEntries(this.#busyMs) };
    for (const [stage, { count, since }] of this.#active) {
      if (count > 0) busy[stage] += performance.now() - since;
    }
    return busy;
  }

  /** The part that sets the pace; undefined before anything was done. */
  slowest(): PipelineStage | undefined {
    let slowest: PipelineStage | undefined;
    let most = 0;
    for (const [stage, ms] of Object.entries(this.busyMs()) as [PipelineStage, number][]) {
      if (ms > most) [slowest, most] = [stage, ms];
    }
    return slowest;
  }

  #add(stage: PipelineStage, ms: number): void {
    this.#busyMs.set(stage, (this.#busyMs.get(stage) ?? 0) + ms);
  }
}
