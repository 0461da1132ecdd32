import { expect, test } from "vitest";
import { silentLogger } from "../../shared/logging.ts";
import { notingMeter } from "../../test/harness/noting-meter.ts";
import { reportEvents } from "./ingestion-events.ts";
import type { IngestionView } from "./live-ingestion.ts";
import { createMetrics } from "./metrics.ts";

const ended = {
  id: "i",
  repoId: "r",
  status: "completed",
  progress: {
    filesDone: 7,
    filesFailed: 0,
    chunksStored: 20,
    chunksUnchanged: 0,
    chunksDeleted: 0,
  },
  startTime: new Date(1_000),
  endTime: new Date(3_500),
  slowest: "embed",
  busyMs: { read: 10, split: 500, embed: 2_400, store: 900 },
} as unknown as IngestionView;

test("the end of an ingestion tells what set the pace, and how long each part was at work", () => {
  const { meter, noted } = notingMeter();
  using metrics = createMetrics(() => 0, meter);
  reportEvents(silentLogger(), metrics).onEnd(ended, undefined);
  expect(noted).toEqual([
    ["ingestion.stage.busy", 0.01, { stage: "read" }],
    ["ingestion.stage.busy", 0.5, { stage: "split" }],
    ["ingestion.stage.busy", 2.4, { stage: "embed" }],
    ["ingestion.stage.busy", 0.9, { stage: "store" }],
    ["ingestion.duration", 2.5, { status: "completed", slowest: "embed" }],
    ["ingestion.files", 7, undefined],
  ]);
});

test("where nothing set the pace, none is named", () => {
  const { meter, noted } = notingMeter();
  using metrics = createMetrics(() => 0, meter);
  metrics.ended("cancelled", 1, 0, undefined);
  expect(noted[0]).toEqual(["ingestion.duration", 1, { status: "cancelled" }]);
});
