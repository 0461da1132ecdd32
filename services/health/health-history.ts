import type { Violations } from "../../shared/errors.ts";
import type { HealthSample } from "./component-health.ts";
import type { HealthHistoryStore, HistoryFilter, HistoryPosition } from "./store.ts";

/** What a caller may ask for. */
export interface HistoryQuery {
  readonly filter: HistoryFilter;
  /** 1 to 1,000. */
  readonly pageSize: number;
  readonly after: HistoryPosition | undefined;
}

export interface HistoryPage {
  /** Newest first, equal times by component. */
  readonly samples: readonly HealthSample[];
  /** Undefined on the last page. */
  readonly next: HistoryPosition | undefined;
}

export const largestPage = 1_000;
export const defaultPage = 100;

/** One page of the history. */
export async function readHistory(
  store: HealthHistoryStore,
  { filter, pageSize, after }: HistoryQuery,
  signal?: AbortSignal,
): Promise<HistoryPage> {
  // One more than asked for tells whether there is a next page.
  const found = await store.list(filter, pageSize + 1, after, signal);
  const samples = found.slice(0, pageSize);
  const last = samples.at(-1);
  const next =
    found.length > pageSize && last !== undefined
      ? { time: last.time, component: last.component.name }
      : undefined;
  return { samples, next };
}

/** Opaque to callers: where the page before ended, and the filter that it belongs to. */
export function pageToken(position: HistoryPosition, filter: HistoryFilter): string {
  const parts = [position.time.getTime(), position.component, ...filterParts(filter)];
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

/** The position in a page token; adds a violation where it is not one of ours for this filter. */
export function positionIn(
  token: string,
  filter: HistoryFilter,
  violations: Violations,
): HistoryPosition | undefined {
  if (token === "") return undefined;
  const [time, component, ...rest] = parse(token);
  const date = new Date(typeof time === "number" ? time : Number.NaN);
  if (Number.isNaN(date.getTime()) || typeof component !== "string" || rest.length !== 3) {
    violations.add("page_token", "is not a token of this method");
    return undefined;
  }
  const same = filterParts(filter).every((part, i) => part === rest[i]);
  violations.require(same, "page_token", "belongs to a request with another component or times");
  return { time: date, component };
}

function filterParts({ component, start, end }: HistoryFilter): (string | number | null)[] {
  return [component ?? null, start?.getTime() ?? null, end?.getTime() ?? null];
}

function parse(token: string): unknown[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(token, "base64url").toString("utf8"));
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
