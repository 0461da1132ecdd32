import { metrics, type ObservableResult } from "@opentelemetry/api";
import { gaugeValue } from "./component-health.ts";
import type { HealthChecker } from "./health-checker.ts";

/**
 * The gauge `component.health` by `component`: 0 unhealthy, 1 degraded, 2 healthy. It looks when
 * metrics are collected, so that it is true whether or not anybody else asks. Returns what ends it.
 */
export function observeComponents(checker: HealthChecker): () => void {
  const gauge = metrics.getMeter("mahavishnu.health").createObservableGauge("component.health", {
    description: "Health of a component: 0 unhealthy, 1 degraded, 2 healthy",
  });
  const observe = async (result: ObservableResult) => {
    const { components } = await checker.report();
    for (const { name, status } of components) {
      result.observe(gaugeValue(status), { component: name });
    }
  };
  gauge.addCallback(observe);
  return () => gauge.removeCallback(observe);
}
