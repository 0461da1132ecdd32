import { expect, test } from "vitest";
import { Violations } from "../../shared/errors.ts";
import { type HistoryQuery, pageToken, positionIn, readHistory } from "./health-history.ts";
import { MemoryHistory } from "./testing/memory-history.ts";

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second));

test("pages from new to old without gap or repetition, and ends", async () => {
  const store = new MemoryHistory();
  for (let second = 0; second < 10; second++) {
    for (const name of ["embedding", "memory", "ollama"]) {
      const health = { name, status: "healthy", message: "", latencyMs: 1, metadata: {} } as const;
      await store.add([{ time: at(second), component: health }]);
    }
  }
  const seen: string[] = [];
  let pages = 0;
  let query: HistoryQuery | undefined = { filter: {}, pageSize: 4, after: undefined };
  while (query !== undefined) {
    const { samples, next }: Awaited<ReturnType<typeof readHistory>> = await readHistory(
      store,
      query,
    );
    pages++;
    seen.push(...samples.map(({ time, component }) => `${time.getUTCSeconds()} ${component.name}`));
    query = next === undefined ? undefined : { ...query, after: next };
  }
  expect(pages).toBe(8);
  expect(new Set(seen).size).toBe(30);
  expect(seen.slice(0, 4)).toEqual(["9 embedding", "9 memory", "9 ollama", "8 embedding"]);

  const exact = await readHistory(store, { filter: {}, pageSize: 30, after: undefined });
  expect(exact.next).toBeUndefined();
});

test("a page token holds its place, for its own filter only", () => {
  const filter = { component: "memory", start: at(1), end: at(5) };
  const token = pageToken({ time: at(3), component: "memory" }, filter);
  const violations = new Violations();
  expect(positionIn(token, filter, violations)).toEqual({ time: at(3), component: "memory" });
  expect(positionIn("", filter, violations)).toBeUndefined();
  expect(violations.list).toEqual([]);

  const strangers: [string, object][] = [
    [token, {}],
    [token, { ...filter, component: "ollama" }],
    [token, { ...filter, start: at(2) }],
    ["nonsense", filter],
    [Buffer.from("[]").toString("base64url"), filter],
    [Buffer.from('["x","memory",null,null,null]').toString("base64url"), {}],
    [Buffer.from('[1e99,"memory",null,null,null]').toString("base64url"), {}],
  ];
  for (const [given, asked] of strangers) {
    const found = new Violations();
    positionIn(given, asked, found);
    expect(found.list.map(({ field }) => field)).toEqual(["page_token"]);
  }
});
