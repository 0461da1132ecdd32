import { expect, test } from "vitest";
import { sleep } from "../../shared/lifecycle.ts";
import { Mirror } from "./mirror.ts";
import type { StoredRecord } from "./record.ts";
import type { FileContents, RecordStore } from "./store.ts";
import { reflection } from "./testing/records.ts";

const contents: FileContents = {
  eras: [],
  tables: [],
  unknownTables: [],
  unwritableIndexes: [],
  faults: 0,
  folded: 0,
  unreadFiles: [],
};

const recordOf = (id: string) => reflection(id, `record ${id}`);

/** A file that somebody else writes, and how often it was looked at. */
function fileOf() {
  const records: StoredRecord[] = [];
  let looks = 0;
  const store: RecordStore = {
    path: "reflection.duckdb",
    async signature() {
      looks++;
      return `${records.length} records`;
    },
    async ensure() {},
    async holder() {
      return undefined;
    },
    async read(sink) {
      const signature = `${records.length} records`;
      await sink([...records]);
      return { contents, signature, snapshot: false, holder: undefined };
    },
    async write() {
      throw new Error("nothing is written here");
    },
  };
  return { store, records, looks: () => looks };
}

async function seen(mirror: Mirror) {
  const { catalogue, staleness } = await mirror.view();
  return { ids: catalogue.entries.map(({ record }) => record.id), stale: staleness.length > 0 };
}

/** Reading takes a tenth of the time at most, so that the next one may have to wait. */
async function untilSeen(mirror: Mirror, ids: readonly string[]): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    const view = await seen(mirror);
    if (!view.stale && view.ids.join() === ids.join()) return;
    await sleep(5);
  }
  throw new Error(`${ids} not seen`);
}

test("searches share a look at the file for as long as the interval says", async () => {
  const { store, records, looks } = fileOf();
  records.push(recordOf("a"));
  const long = 3_600_000;
  await using mirror = new Mirror({ store, refreshIntervalMs: 0, lookIntervalMs: long });
  await untilSeen(mirror, ["a"]);
  const once = looks();
  for (let n = 0; n < 10; n++) expect(await seen(mirror)).toEqual({ ids: ["a"], stale: false });
  expect(looks()).toBe(once);
  records.push(recordOf("b"));
  expect(await seen(mirror)).toEqual({ ids: ["a"], stale: false });
  // Whoever asks how things stand has the file looked at, and searches learn of it.
  expect(await mirror.status()).toMatchObject({ stale: true });
  await untilSeen(mirror, ["a", "b"]);
});

test("without an interval every search sees what was written before it, or says that it does not", async () => {
  const { store, records } = fileOf();
  await using mirror = new Mirror({ store, refreshIntervalMs: 0, lookIntervalMs: 0 });
  for (const id of ["a", "b", "c"]) {
    records.push(recordOf(id));
    const { ids, stale } = await seen(mirror);
    expect(stale || ids.includes(id)).toBe(true);
    await untilSeen(
      mirror,
      records.map((record) => record.id),
    );
  }
});
