import { describe, expect, it } from "vitest";
import { progressText } from "./progress.ts";

describe("progressText", () => {
  it("shows bar, share, rate, time left and what else there is", () => {
    const state = { label: "ingesting", done: 40, total: 100, unit: "files", extra: "80 chunks" };
    expect(progressText(state, 4)).toBe(
      `ingesting   ${"█".repeat(12)}${"░".repeat(18)}   40 %  40/100 files  10.0/s  0:06 left  80 chunks`,
    );
  });

  it("counts where the total is not known", () => {
    const state = { label: "scanning", done: 7, total: 0, unit: "files", extra: "" };
    expect(progressText(state, 0)).toBe("scanning    7 files");
  });
});
