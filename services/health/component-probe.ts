import { untilAborted } from "../../shared/abortable.ts";
import { DomainError } from "../../shared/errors.ts";
import {
  type Component,
  type ComponentHealth,
  type Finding,
  type HealthSample,
  ProbeFailure,
} from "./component-health.ts";

export interface ProbeBounds {
  /** How long a probe may take, in milliseconds. */
  readonly timeoutMs: number;
  /** How long its outcome is good for, in milliseconds. */
  readonly reuseMs: number;
  /** Ends every probe when the process stops. */
  readonly lifetime: AbortSignal;
}

/** Who is told what happens to components. */
export interface ProbeListener {
  /** A status is not what it was; `before` is undefined the first time. */
  changed(now: ComponentHealth, before: ComponentHealth | undefined): void;
  /** A probe failed in a way that it did not foresee. */
  failed(name: string, error: unknown): void;
}

const nobody: ProbeListener = { changed: () => {}, failed: () => {} };

/** One component, probed at most once at a time and not again while the last outcome is fresh. */
export class ComponentProbe {
  readonly #component: Component;
  readonly #bounds: ProbeBounds;
  readonly #listener: ProbeListener;
  #inFlight: Promise<HealthSample> | undefined;
  #last: { readonly sample: HealthSample; readonly at: number } | undefined;

  constructor(component: Component, bounds: ProbeBounds, listener = nobody) {
    this.#component = component;
    this.#bounds = bounds;
    this.#listener = listener;
  }

  get name(): string {
    return this.#component.name;
  }

  /** The component's state, at most `reuseMs` old. Never rejects. */
  check(): Promise<HealthSample> {
    if (this.#last !== undefined && performance.now() - this.#last.at < this.#bounds.reuseMs) {
      return Promise.resolve(this.#last.sample);
    }
    this.#inFlight ??= this.#probe().finally(() => {
      this.#inFlight = undefined;
    });
    return this.#inFlight;
  }

  async #probe(): Promise<HealthSample> {
    const { name, facts } = this.#component;
    const time = new Date();
    const started = performance.now();
    const finding = await this.#finding();
    const component: ComponentHealth = {
      name,
      status: finding.status,
      message: finding.message,
      metadata: { ...facts, ...finding.metadata },
      latencyMs: performance.now() - started,
    };
    const before = this.#last?.sample.component;
    this.#last = { sample: { time, component }, at: performance.now() };
    if (before?.status !== component.status) this.#listener.changed(component, before);
    return this.#last.sample;
  }

  async #finding(): Promise<Finding> {
    const { timeoutMs, lifetime } = this.#bounds;
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = AbortSignal.any([timeout, lifetime]);
    try {
      return await untilAborted(this.#component.probe(signal), signal);
    } catch (error) {
      if (lifetime.aborted) return this.#failing("the health process is stopping");
      if (timeout.aborted) return this.#failing(`did not answer within ${timeoutMs} ms`);
      // Both are worded for people; a driver's or a system's error is not.
      if (error instanceof ProbeFailure || error instanceof DomainError)
        return this.#failing(error.message);
      this.#listener.failed(this.name, error);
      return this.#failing("the probe failed");
    }
  }

  #failing(why: string): Finding {
    const meaning = this.#component.whenFailing;
    if (meaning === undefined) return { status: "unhealthy", message: why, metadata: {} };
    return { status: meaning.status, message: `${why}; ${meaning.message}`, metadata: {} };
  }
}
