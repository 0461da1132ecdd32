import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import {
  IngestionProgressSchema,
  IngestionStage,
  IngestionStatus,
} from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { partsOf, plainLine } from "./ingestion-screen.ts";

const progress = (init: MessageInitShape<typeof IngestionProgressSchema>) =>
  create(IngestionProgressSchema, {
    status: IngestionStatus.IN_PROGRESS,
    stage: IngestionStage.INGESTING,
    elapsed: create(DurationSchema, { seconds: 72n }),
    ...init,
  });

describe("the parts of an ingestion", () => {
  it("are told once they have begun", () => {
    const waiting = progress({ status: IngestionStatus.PENDING });
    expect(partsOf(waiting, 0, 0)).toMatchObject([{ name: "walk", words: "waits for its turn" }]);
    const walking = progress({ stage: IngestionStage.SCANNING, filesTotal: 1_234n });
    expect(partsOf(walking, 0, 0)).toEqual([
      { name: "walk", share: undefined, words: "1,234 files" },
    ]);
  });

  it("show share, rate and time left", () => {
    const working = progress({
      filesTotal: 200n,
      filesRead: 100n,
      filesDone: 50n,
      chunksSplit: 400n,
      chunksEmbedded: 300n,
    });
    expect(partsOf(working, 2, 12.34)).toEqual([
      { name: "walk", share: 1, words: "200 files" },
      { name: "split", share: 0.5, words: "100/200 files" },
      { name: "embed", share: 0.375, words: "300/400 chunks  12.3/s" },
      { name: "store", share: 0.25, words: "50/200 files  2.0/s  1:15 left" },
    ]);
  });

  it("are complete where there is nothing to do", () => {
    const empty = progress({ stage: IngestionStage.CLEANING, chunksDeleted: 3n });
    expect(partsOf(empty, 0, 0).map(({ share }) => share)).toEqual([1, 1, 1, 1, undefined]);
  });
});

describe("a line of progress", () => {
  it("says what a log needs", () => {
    const working = progress({
      filesTotal: 200n,
      filesDone: 50n,
      filesFailed: 1n,
      chunksStored: 1_020n,
    });
    expect(plainLine(working, 2)).toBe(
      "[1:12] ingesting: 50/200 files (25 %), 1,020 chunks stored, 1 failed, 2.0/s, 1:15 left",
    );
  });
});
