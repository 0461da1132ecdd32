import fc from "fast-check";
import { expect, it } from "vitest";
import {
  CheckpointLog,
  doneOf,
  MigrationTally,
  migratedOf,
  noFigures,
  type Outcome,
} from "./migration-tally.ts";
import { beginning } from "./record-reader.ts";

const migrated = (recordId: string): Outcome => ({
  recordId,
  kind: "insight",
  era: "F",
  result: "migrated",
  failure: undefined,
});
const failed = (recordId: string): Outcome => ({
  ...migrated(recordId),
  result: "failed",
  failure: { kind: "invalid_argument", reason: "INVALID_FIELD", message: "blank" },
});

it("lists the first 100 failures and counts all of them", () => {
  const tally = new MigrationTally();
  for (let index = 0; index < 150; index++) tally.add(failed(String(index)));
  const figures = tally.figures();
  expect(figures.failures).toHaveLength(100);
  expect(figures.failures[99]?.recordId).toBe("99");
  expect(figures.failedByReason).toEqual({ INVALID_FIELD: 150 });
  expect(doneOf(figures)).toBe(150);
  // What was recorded can be gone on from.
  const again = new MigrationTally(figures);
  again.add(failed("150"));
  expect(again.figures().failures).toHaveLength(100);
  expect(again.figures().failedByReason).toEqual({ INVALID_FIELD: 151 });
  expect(figures.failedByReason).toEqual({ INVALID_FIELD: 150 });
});

it("moves the checkpoint past what is done without a gap, in whatever order batches end", () => {
  const orders = fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 0, maxLength: 8 });
  fc.assert(
    fc.property(orders, (order) => {
      const log = new CheckpointLog({ position: beginning, figures: noFigures });
      const done = new Set<number>();
      for (const number of order) {
        const end = { records: (number + 1) * 10, digest: `d${number}` };
        log.done({ number, end, outcomes: [migrated(`r${number}`)] });
        done.add(number);
        let whole = 0;
        while (done.has(whole)) whole++;
        const { position, figures } = log.checkpoint();
        expect(position.records).toBe(whole * 10);
        expect(position.digest).toBe(whole === 0 ? "" : `d${whole - 1}`);
        expect(migratedOf(figures)).toBe(whole);
        expect(figures.counts.every(({ read, migrated: stored }) => read === stored)).toBe(true);
      }
    }),
  );
});
