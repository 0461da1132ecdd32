import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, type Timestamp, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Violations } from "../../shared/errors.ts";
import {
  type ComponentHealthSchema,
  type GetHealthRequest,
  HealthStatus,
  type ListHealthHistoryRequest,
  type ListHealthHistoryResponseSchema,
} from "../../shared/gen/mahavishnu/health/v1/health_service_pb.js";
import type { ComponentHealth, HealthReport, Status } from "./component-health.ts";
import {
  defaultPage,
  type HistoryPage,
  type HistoryQuery,
  largestPage,
  pageToken,
  positionIn,
} from "./health-history.ts";
import type { HistoryFilter } from "./store.ts";

const healthStatusOf: Readonly<Record<Status, HealthStatus>> = {
  unhealthy: HealthStatus.UNHEALTHY,
  degraded: HealthStatus.DEGRADED,
  healthy: HealthStatus.HEALTHY,
};

/** The component names asked for; empty for all. Throws InvalidRequestError for unknown ones. */
export function componentsOf(request: GetHealthRequest, known: readonly string[]): string[] {
  const violations = new Violations();
  request.components.forEach((name, i) => {
    requireKnown(name, known, `components[${i}]`, violations);
  });
  violations.throwIfAny();
  return request.components;
}

/** Throws InvalidRequestError with every field that is out of bounds. */
export function historyQueryOf(
  request: ListHealthHistoryRequest,
  known: readonly string[],
): HistoryQuery {
  const violations = new Violations();
  const { component, startTime, endTime, pageSize, pageToken: token } = request;
  if (component !== "") requireKnown(component, known, "component", violations);
  const filter: HistoryFilter = {
    component: component === "" ? undefined : component,
    start: dateOf(startTime, "start_time", violations),
    end: dateOf(endTime, "end_time", violations),
  };
  const { start, end } = filter;
  const inOrder = start === undefined || end === undefined || start <= end;
  violations.require(inOrder, "end_time", "must not be before start_time");
  violations.require(
    pageSize >= 0 && pageSize <= largestPage,
    "page_size",
    `must be 1 to ${largestPage}, or 0 for ${defaultPage}`,
  );
  const after = positionIn(token, filter, violations);
  violations.throwIfAny();
  return { filter, pageSize: pageSize === 0 ? defaultPage : pageSize, after };
}

/** Fits HealthReport and GetHealthResponse. */
export function fromReport(report: HealthReport, version: string, uptimeMs: number) {
  return {
    status: healthStatusOf[report.status],
    timestamp: timestampFromDate(report.time),
    version,
    uptime: durationFromMs(Math.round(uptimeMs)),
    components: report.components.map(fromComponent),
  };
}

export function fromHistoryPage(
  { samples, next }: HistoryPage,
  { filter }: HistoryQuery,
): MessageInitShape<typeof ListHealthHistoryResponseSchema> {
  return {
    samples: samples.map(({ time, component }) => ({
      time: timestampFromDate(time),
      component: fromComponent(component),
    })),
    nextPageToken: next === undefined ? "" : pageToken(next, filter),
  };
}

function fromComponent(health: ComponentHealth): MessageInitShape<typeof ComponentHealthSchema> {
  const { name, status, message, latencyMs, metadata } = health;
  return {
    name,
    status: healthStatusOf[status],
    message,
    latency: duration(latencyMs),
    metadata: { ...metadata },
  };
}

/** To the microsecond; durationFromMs takes whole milliseconds. */
function duration(ms: number) {
  const micros = Math.round(ms * 1_000);
  return {
    seconds: BigInt(Math.floor(micros / 1_000_000)),
    nanos: (micros % 1_000_000) * 1_000,
  };
}

function requireKnown(
  name: string,
  known: readonly string[],
  field: string,
  violations: Violations,
): void {
  violations.require(known.includes(name), field, `must be one of ${known.join(", ")}`);
}

const earliest = new Date("0001-01-01T00:00:00Z").getTime();
const latest = new Date("9999-12-31T23:59:59.999Z").getTime();

/** Rounded up to the millisecond: bounds of whole-millisecond samples then hold exactly. */
function dateOf(
  time: Timestamp | undefined,
  field: string,
  violations: Violations,
): Date | undefined {
  if (time === undefined) return undefined;
  const ms = Number(time.seconds) * 1_000 + Math.ceil(time.nanos / 1_000_000);
  const valid = ms >= earliest && ms <= latest && time.nanos >= 0 && time.nanos < 1_000_000_000;
  return violations.require(valid, field, "must be a time of the years 1 to 9999")
    ? new Date(ms)
    : undefined;
}
