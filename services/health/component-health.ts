/** How well something works, worst first; the position is the value of the health gauge. */
export const statuses = ["unhealthy", "degraded", "healthy"] as const;
export type Status = (typeof statuses)[number];

/** Plain facts about a component, such as its address or version. */
export type Facts = Readonly<Record<string, string | number | boolean>>;

/** What a probe learned. */
export interface Finding {
  readonly status: Status;
  /** For people: what is wrong, or what answers. */
  readonly message: string;
  readonly metadata: Facts;
}

/** A part of the platform and the way to find out how it is. */
export interface Component {
  readonly name: string;
  /** Facts that hold whatever the probe finds. */
  readonly facts: Facts;
  /** What it means when the component fails: `unhealthy`, unless something else stands in. */
  readonly whenFailing?: { readonly status: Status; readonly message: string };
  /**
   * Looks, and writes nothing. It fails by throwing, with a ProbeFailure where it knows why. Gives
   * up when the signal aborts.
   */
  probe(signal: AbortSignal): Promise<Finding>;
}

/** Why a component fails, worded for people. */
export class ProbeFailure extends Error {
  override readonly name = "ProbeFailure";
}

/** The state of a component. */
export interface ComponentHealth extends Finding {
  readonly name: string;
  /** How long the probe took, in milliseconds. */
  readonly latencyMs: number;
}

/** The state of a component at one moment. */
export interface HealthSample {
  readonly time: Date;
  readonly component: ComponentHealth;
}

/** The state of the platform at one moment. */
export interface HealthReport {
  readonly status: Status;
  /** When its oldest part was probed. */
  readonly time: Date;
  /** By name. */
  readonly components: readonly ComponentHealth[];
}

/** The worst status; `healthy` where there is none at all. */
export function worstOf(all: Iterable<Status>): Status {
  let worst: number = statuses.length - 1;
  for (const status of all) worst = Math.min(worst, gaugeValue(status));
  return statuses[worst] ?? "healthy";
}

/** 0 unhealthy, 1 degraded, 2 healthy. */
export function gaugeValue(status: Status): number {
  return statuses.indexOf(status);
}
