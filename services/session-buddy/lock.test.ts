import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { holdFile, makeFile, startBridge, temporaryFolder } from "./testing/session-buddy-files.ts";

let folder: string;
let file: string;
let resources: Resources;

beforeEach(async () => {
  resources = new Resources((_, error) => {
    throw error;
  });
  folder = resources.use("folder", await temporaryFolder()).path;
  file = join(folder, "reflection.duckdb");
});

afterEach(() => resources[Symbol.asyncDispose]());

async function start(): Promise<Client<typeof SessionBuddyService>> {
  const app = resources.use("app", await startBridge(folder));
  const transport = createGrpcTransport({ address: app.address, retry: { maxAttempts: 1 } });
  resources.defer("client", () => transport.close());
  return createClient(SessionBuddyService, transport);
}

test("a log that cannot be replayed hides its own changes only, is told, and is left alone", async () => {
  await makeFile(file, "adapter", "insert into reflections_v2 (id, content) values ('a', 'zebra')");
  const original = join(folder, "original.duckdb");
  const holder = await holdFile(file);
  await holder.run("insert into reflections_v2 (id, content) values ('b', 'zebra two')");
  await copyFile(file, original);
  const log = await readFile(`${file}.wal`);
  await holder[Symbol.asyncDispose]();
  await copyFile(original, file);
  // What an index that needs an extension does too: the log begins well and cannot be replayed.
  const spoilt = Buffer.from(log);
  for (let at = log.length - 60; at < log.length - 20; at++) spoilt[at] = (log[at] ?? 0) ^ 0xff;
  await writeFile(`${file}.wal`, spoilt);

  const bridge = await start();
  const found = await bridge.searchReflections({ query: "zebra" });
  expect(found.hits.map(({ record }) => record?.id)).toEqual(["a"]);
  expect(found.stale).toBe(true);
  expect((await bridge.getStatus({})).message).toContain("reflection.duckdb.wal");
  const refused = await bridge
    .storeReflection({ content: "words" })
    .then(() => undefined, ConnectError.from);
  expect(refused?.code).toBe(Code.Unavailable);
  const parts = await Array.fromAsync(bridge.exportRecords({}));
  expect(parts[0]?.begin?.unreadFiles[0]).toContain("reflection.duckdb.wal");
  expect(parts.flatMap(({ records }) => records).map(({ id }) => id)).toEqual(["a"]);
  expect(await readFile(`${file}.wal`)).toEqual(spoilt);
});

/**
 * The longest and the whole time that this thread worked between two turns of the event loop: of
 * the processor's time, not of the clock, so that what else runs on the machine does not count.
 */
function watchTurns() {
  let longest = 0;
  let total = 0;
  let running = true;
  let last = process.threadCpuUsage();
  const turn = () => {
    const used = process.threadCpuUsage(last);
    last = process.threadCpuUsage();
    const ms = (used.user + used.system) / 1_000;
    // An empty turn of the loop is no work.
    if (ms > 1) {
      longest = Math.max(longest, ms);
      total += ms;
    }
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  return {
    stop: () => {
      running = false;
      return { longest, total };
    },
  };
}

test("reading, searching and exporting much leaves the event loop its turns", async () => {
  await makeFile(
    file,
    "adapter",
    `insert into conversations_v2 (id, content, category)
       select 'c' || i, 'conversation ' || i || ' ' || repeat(md5(i::varchar) || ' ', 12), 'context'
       from range(20000) t(i);
     insert into conversations_v2 (id, content, category)
       select 'big' || i, repeat('lorem ipsum dolor ', 58000) || i, 'context' from range(3) t(i)`,
  );
  const turns = watchTurns();
  const bridge = await start();
  let found = 0;
  for (let attempt = 0; attempt < 800 && found === 0; attempt++) {
    found = (await bridge.searchReflections({ query: "lorem", limit: 3 })).hits.length;
    if (found === 0) await sleep(25);
  }
  expect(found).toBe(3);
  await bridge.searchReflections({ query: "conversation 17 lorem", limit: 100 });
  for await (const _ of bridge.exportRecords({}));
  const { longest, total } = turns.stop();
  // Reading or indexing it in one go would take most of the time.
  expect(longest).toBeLessThan(total / 6);
});
