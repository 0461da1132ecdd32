import type { HealthSample } from "./component-health.ts";

/** The place of a sample in a list that goes from new to old, equal times by component. */
export interface HistoryPosition {
  readonly time: Date;
  readonly component: string;
}

/** Which samples. */
export interface HistoryFilter {
  readonly component?: string | undefined;
  /** Not before this time. */
  readonly start?: Date | undefined;
  /** Before this time. */
  readonly end?: Date | undefined;
}

/** Keeps samples of the platform's health; they belong to no tenant and are visible to all. */
export interface HealthHistoryStore {
  /** All or none; a component has one sample per millisecond, and the first one stays. */
  add(samples: readonly HealthSample[], signal?: AbortSignal): Promise<void>;

  /** At most `limit` samples behind `after`, newest first, equal times by component. */
  list(
    filter: HistoryFilter,
    limit: number,
    after: HistoryPosition | undefined,
    signal?: AbortSignal,
  ): Promise<HealthSample[]>;

  /** Deletes what is older; returns how many samples that was. */
  deleteBefore(time: Date, signal?: AbortSignal): Promise<number>;
}
