import type { HealthSample } from "../component-health.ts";
import type { HealthHistoryStore, HistoryFilter, HistoryPosition } from "../store.ts";

/** The contract of the store without a database, for tests of what uses it. */
export class MemoryHistory implements HealthHistoryStore {
  samples: HealthSample[] = [];
  failure: Error | undefined;

  async add(samples: readonly HealthSample[]): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    this.samples.push(...samples);
  }

  async list(
    { component, start, end }: HistoryFilter,
    limit: number,
    after: HistoryPosition | undefined,
  ): Promise<HealthSample[]> {
    return this.samples
      .filter(
        (one) =>
          (component === undefined || one.component.name === component) &&
          (start === undefined || one.time >= start) &&
          (end === undefined || one.time < end),
      )
      .sort(
        (a, b) =>
          b.time.getTime() - a.time.getTime() || (a.component.name < b.component.name ? -1 : 1),
      )
      .filter(
        ({ time, component: { name } }) =>
          after === undefined ||
          time < after.time ||
          (time.getTime() === after.time.getTime() && name > after.component),
      )
      .slice(0, limit);
  }

  async deleteBefore(time: Date): Promise<number> {
    if (this.failure !== undefined) throw this.failure;
    const before = this.samples.length;
    this.samples = this.samples.filter((one) => one.time >= time);
    return before - this.samples.length;
  }
}
