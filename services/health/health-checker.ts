import { untilAborted } from "../../shared/abortable.ts";
import { type Component, type HealthReport, worstOf } from "./component-health.ts";
import { ComponentProbe, type ProbeBounds, type ProbeListener } from "./component-probe.ts";

/** Probes components and reports on them; callers at the same time share the probes. */
export class HealthChecker {
  readonly #probes: ReadonlyMap<string, ComponentProbe>;
  readonly names: readonly string[];

  constructor(components: readonly Component[], bounds: ProbeBounds, listener?: ProbeListener) {
    const sorted = components.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    this.#probes = new Map(
      sorted.map((component) => [component.name, new ComponentProbe(component, bounds, listener)]),
    );
    this.names = [...this.#probes.keys()];
  }

  /**
   * A report on the components named, or on all. Only they are waited for, all at once. Rejects
   * only with the signal's reason, which ends this caller's wait and nobody else's.
   */
  async report(names: readonly string[] = [], signal?: AbortSignal): Promise<HealthReport> {
    const wanted = new Set(names.length === 0 ? this.names : names);
    const probes = [...this.#probes.values()].filter(({ name }) => wanted.has(name));
    const samples = await untilAborted(Promise.all(probes.map((one) => one.check())), signal);
    const components = samples.map(({ component }) => component);
    return {
      status: worstOf(components.map(({ status }) => status)),
      time: new Date(Math.min(Date.now(), ...samples.map(({ time }) => time.getTime()))),
      components,
    };
  }
}
