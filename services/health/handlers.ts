import type { HealthService } from "../../shared/gen/mahavishnu/health/v1/health_service_pb.js";
import { callContext } from "../../shared/rpc/call-context.ts";
import type { ServiceImpl } from "../../shared/rpc/service.ts";
import type { HealthReport } from "./component-health.ts";
import { componentsOf, fromHistoryPage, fromReport, historyQueryOf } from "./convert.ts";
import { HealthStoppingError } from "./errors.ts";
import type { HealthChecker } from "./health-checker.ts";
import { readHistory } from "./health-history.ts";
import type { HealthWatch } from "./health-watch.ts";
import type { HealthHistoryStore } from "./store.ts";

export interface HandlerParts {
  readonly checker: HealthChecker;
  readonly watch: HealthWatch;
  readonly store: HealthHistoryStore;
  readonly version: string;
  readonly uptimeMs: () => number;
}

export function healthHandlers({
  checker,
  watch,
  store,
  version,
  uptimeMs,
}: HandlerParts): ServiceImpl<typeof HealthService> {
  const toReport = (report: HealthReport) => fromReport(report, version, uptimeMs());
  return {
    async getHealth(request, context) {
      const names = componentsOf(request, checker.names);
      return toReport(await checker.report(names, callContext(context).signal));
    },

    async *watchHealth(_request, context) {
      const { signal, stopping } = callContext(context);
      try {
        for await (const report of watch.watch(AbortSignal.any([signal, stopping]))) {
          yield { report: toReport(report) };
        }
      } catch (error) {
        // A watch that the caller did not end must not look finished.
        throw stopping.aborted ? new HealthStoppingError() : error;
      }
    },

    async listHealthHistory(request, context) {
      const query = historyQueryOf(request, checker.names);
      const page = await readHistory(store, query, callContext(context).signal);
      return fromHistoryPage(page, query);
    },
  };
}
