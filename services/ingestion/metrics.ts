import { type Meter, metrics } from "@opentelemetry/api";

/** Figures for operators; they go nowhere unless the process was told where. */
export interface IngestionMetrics {
  /** `slowest`: the part of the pipeline that set the pace; undefined where none did. */
  ended(status: string, seconds: number, files: number, slowest: string | undefined): void;
  /** For how long parts of the pipeline were at work. */
  busy(stage: string, ms: number): void;
  stored(chunks: number): void;
  retried(peer: string): void;
  answered(ms: number): void;
  wordsOnly(): void;
}

/** `running` is asked whenever figures are collected. */
export function createMetrics(
  running: () => number,
  meter: Meter = metrics.getMeter("mahavishnu.ingestion"),
): IngestionMetrics & Disposable {
  const duration = meter.createHistogram("ingestion.duration", {
    unit: "s",
    description:
      "How long ingestions took, by how they ended and which part of the pipeline set the pace",
  });
  const files = meter.createCounter("ingestion.files", {
    description: "Files done, unchanged and failed ones included",
  });
  const busy = meter.createCounter("ingestion.stage.busy", {
    unit: "s",
    description:
      "For how long each part of the pipeline had something to do; they work side by side",
  });
  const chunks = meter.createCounter("ingestion.chunks", { description: "Chunks stored" });
  const retries = meter.createCounter("ingestion.retries", {
    description: "Calls repeated since a peer or the database did not take them",
  });
  const latency = meter.createHistogram("ingestion.query.latency", {
    unit: "ms",
    description: "How long questions to the knowledge base took",
  });
  const wordsOnly = meter.createCounter("ingestion.query.words_only", {
    description: "Questions answered by words alone, since they could not be embedded",
  });
  const gauge = meter.createObservableGauge("ingestion.running", {
    description: "Ingestions of this process that have not ended",
  });
  const observe: Parameters<typeof gauge.addCallback>[0] = (result) => result.observe(running());
  gauge.addCallback(observe);
  return {
    ended: (status, seconds, count, slowest) => {
      duration.record(seconds, { status, ...(slowest === undefined ? {} : { slowest }) });
      files.add(count);
    },
    busy: (stage, ms) => busy.add(ms / 1_000, { stage }),
    stored: (count) => chunks.add(count),
    retried: (peer) => retries.add(1, { peer }),
    answered: (ms) => latency.record(ms),
    wordsOnly: () => wordsOnly.add(1),
    [Symbol.dispose]: () => gauge.removeCallback(observe),
  };
}
