/** The bridge as its main.ts runs it, beside a watch on its event loop and memory. */
import { monitorEventLoopDelay } from "node:perf_hooks";

const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
process.on("message", () => {
  const { heapUsed, rss } = process.memoryUsage();
  process.send?.({
    longestDelayMs: delay.max / 1e6,
    p99DelayMs: delay.percentile(99) / 1e6,
    heapMb: heapUsed / 1e6,
    rssMb: rss / 1e6,
  });
  delay.reset();
});
await import("../../services/session-buddy/main.ts");
