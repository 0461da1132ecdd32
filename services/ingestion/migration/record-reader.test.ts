import { describe, expect, it } from "vitest";
import { DependencyUnavailableError } from "../../../shared/errors.ts";
import {
  beginning,
  type RecordBatch,
  RecordReader,
  SourceChangedError,
  type StreamPosition,
} from "./record-reader.ts";
import type { RecordSource, SourcePage, SourceRecord } from "./source-record.ts";

const record = (id: string, content = `text of ${id}`): SourceRecord => ({
  id,
  kind: "reflection",
  era: "F",
  content,
  tags: [],
  project: "",
  collection: "",
  insightType: "",
  confidence: undefined,
  metadata: {},
  createMicros: undefined,
  updateMicros: undefined,
  folded: [],
});
const fault = { id: "f", kind: "conversation", era: "A", reason: "blank" } as const;
const file = {
  file: "/x",
  eras: ["F"],
  rows: 0,
  timeZone: "UTC",
  unknownTables: [],
  unreadFiles: [],
  lockHolder: "",
};

/** A source that gives a page a record, and can break off. */
class Source implements RecordSource {
  records: SourceRecord[];
  faults: SourcePage["faults"] = [];
  opened = 0;
  closed = 0;
  /** How many records a reading gives before it breaks off, by reading. */
  breaks: number[] = [];

  constructor(records: SourceRecord[]) {
    this.records = records;
  }

  async open() {
    const breaksAfter = this.breaks[this.opened++] ?? Number.POSITIVE_INFINITY;
    const { records, faults } = this;
    async function* pages(): AsyncGenerator<SourcePage> {
      for (const [index, one] of records.entries()) {
        if (index >= breaksAfter) throw new DependencyUnavailableError("bridge", "is away");
        yield { records: [one], faults: [] };
      }
      yield { records: [], faults };
    }
    return { file, pages: pages(), close: () => this.closed++ };
  }
}

function readerOf(source: Source, options: { mostRecords?: number; mostBytes?: number } = {}) {
  const work = { tenant: "t", signal: new AbortController().signal };
  return new RecordReader(
    source,
    work,
    { path: "/x", timeZone: "" },
    { mostRecords: 2, mostBytes: 1_000, patienceMs: 5_000, onRetry: () => {}, ...options },
  );
}

async function batchesOf(reader: RecordReader, after: StreamPosition = beginning) {
  const batches: RecordBatch[] = [];
  for await (const batch of reader.batches(after)) batches.push(batch);
  return batches;
}

const ids = (batches: readonly RecordBatch[]) =>
  batches.map(({ records, faults }) => [...records, ...faults].map(({ id }) => id));

describe("a file is read in batches", () => {
  it("by number, what is no record included", async () => {
    const source = new Source(["a", "b", "c"].map((id) => record(id)));
    source.faults = [fault, fault];
    const batches = await batchesOf(readerOf(source));
    expect(ids(batches)).toEqual([["a", "b"], ["c", "f"], ["f"]]);
    expect(batches.map(({ end }) => end.records)).toEqual([2, 4, 5]);
    expect(source.closed).toBe(1);
  });

  it("by bytes, where texts are long", async () => {
    const source = new Source([record("a", "ä".repeat(30)), record("b"), record("c")]);
    expect(ids(await batchesOf(readerOf(source, { mostRecords: 9, mostBytes: 60 })))).toEqual([
      ["a"],
      ["b", "c"],
    ]);
  });

  it("and none where it is empty", async () => {
    expect(await batchesOf(readerOf(new Source([])))).toEqual([]);
  });
});

describe("reading goes on", () => {
  const all = ["a", "b", "c", "d", "e"].map((id) => record(id));

  it("after a position of an earlier reading", async () => {
    const [first, second] = await batchesOf(readerOf(new Source(all)));
    expect(ids(await batchesOf(readerOf(new Source(all)), first?.end))).toEqual([
      ["c", "d"],
      ["e"],
    ]);
    const grown = new Source([...all, record("f")]);
    expect(ids(await batchesOf(readerOf(grown), second?.end))).toEqual([["e", "f"]]);
  });

  it("where the source broke off, with nothing twice and nothing left out", async () => {
    const source = new Source(all);
    source.breaks = [3, 0, 4];
    const batches = await batchesOf(readerOf(source));
    expect(ids(batches).flat()).toEqual(["a", "b", "c", "d", "e"]);
    expect(source.opened).toBe(4);
    expect(source.closed).toBe(4);
  });

  it.each([
    ["a record is gone", all.slice(1)],
    ["a text is another", [record("a", "other"), ...all.slice(1)]],
    ["a record is new", [record("0"), ...all]],
    ["the order is another", [...all].reverse()],
    ["there is less", all.slice(0, 2)],
    ["there is nothing", []],
  ])("and stops where %s", async (_, changed) => {
    const end = (await batchesOf(readerOf(new Source(all)))).at(1)?.end;
    await expect(batchesOf(readerOf(new Source(changed)), end)).rejects.toThrow(SourceChangedError);
  });
});

it("closes the file where its reader leaves", async () => {
  const source = new Source(["a", "b", "c"].map((id) => record(id)));
  for await (const _ of readerOf(source).batches(beginning)) break;
  expect(source.closed).toBe(1);
});
