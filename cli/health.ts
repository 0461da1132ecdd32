import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  type GetHealthResponse,
  HealthService,
  HealthStatus,
} from "../shared/gen/mahavishnu/health/v1/health_service_pb.js";
import { withClient } from "./connection.ts";
import { coloured, duration, exitCodes, print, printJson } from "./output.ts";
import { renderTable } from "./table.ts";

export interface HealthOptions {
  readonly json?: boolean;
}

/** Prints the state of every component. Exit code 3 where something does not work at all. */
export async function health(options: HealthOptions): Promise<void> {
  const report = await withClient("health", HealthService, (client, call) =>
    client.getHealth({}, call({ timeoutMs: 10_000 })),
  );
  if (options.json) printJson(toJson(report));
  else printReport(report);
  if (report.status === HealthStatus.UNHEALTHY) process.exitCode = exitCodes.unhealthy;
}

function printReport(report: GetHealthResponse): void {
  const rows = report.components.map((one) => [
    one.name,
    statusName(one.status, true),
    duration(one.latency?.seconds ?? 0n, one.latency?.nanos ?? 0),
    one.message,
  ]);
  print(renderTable(["component", "status", "latency", "message"], rows));
  const uptime = duration(report.uptime?.seconds ?? 0n, report.uptime?.nanos ?? 0);
  print(`Overall ${statusName(report.status, true)}, version ${report.version}, up ${uptime}.`);
}

function statusName(status: HealthStatus, colour: boolean): string {
  const name = HealthStatus[status].toLowerCase();
  if (!colour) return name;
  if (status === HealthStatus.HEALTHY) return coloured("green", name);
  return coloured(status === HealthStatus.DEGRADED ? "yellow" : "red", name);
}

function toJson(report: GetHealthResponse): unknown {
  return {
    status: statusName(report.status, false),
    timestamp: report.timestamp === undefined ? null : timestampDate(report.timestamp),
    version: report.version,
    components: report.components.map((one) => ({
      name: one.name,
      status: statusName(one.status, false),
      ...(one.message === "" ? {} : { message: one.message }),
      latency_ms: Number(one.latency?.seconds ?? 0n) * 1000 + (one.latency?.nanos ?? 0) / 1e6,
      metadata: one.metadata ?? {},
    })),
    uptime_seconds: Number(report.uptime?.seconds ?? 0n),
  };
}
