import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { Delivery } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { tenantHeader } from "../../shared/rpc/tenant.ts";
import {
  type FileHolder,
  holdFile,
  makeFile,
  query,
  startBridge,
  temporaryFolder,
} from "./testing/session-buddy-files.ts";

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

type Bridge = Client<typeof SessionBuddyService>;

function clientOf(address: string): Bridge {
  const transport = createGrpcTransport({ address, retry: { maxAttempts: 1 } });
  resources.defer("client", () => transport.close());
  return createClient(SessionBuddyService, transport);
}

async function start(): Promise<Bridge> {
  return clientOf(resources.use("app", await startBridge(folder)).address);
}

async function heldFile(rows = ""): Promise<FileHolder> {
  await makeFile(file, "adapter", rows);
  return resources.use("holder", await holdFile(file));
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 800; attempt++) {
    if (await condition()) return;
    await sleep(25);
  }
  throw new Error(`still not so: ${condition}`);
}

const delivered = async (bridge: Bridge) => (await bridge.getStatus({})).queuedWrites === 0n;

const rows = () =>
  query(file, "select id, content, insight_type from main.reflections_v2 order by rowid");

describe("while another process holds the file", () => {
  test("what is stored waits, is found, and is written in order under its ids", async () => {
    const holder = await heldFile(
      "insert into reflections_v2 (id, content, insight_type) values ('old', 'known zebra', null)",
    );
    const bridge = await start();
    await until(async () => (await bridge.searchReflections({ query: "zebra" })).hits.length === 1);
    const insight = {
      content: "first zebra",
      insightType: "gotcha",
      project: "p",
      requestId: "r1",
    };
    const one = await bridge.storeInsight(insight);
    expect(one).toMatchObject({ delivery: Delivery.QUEUED, deduplicated: false });
    const two = await bridge.storeReflection({ content: "second zebra" });
    expect(two).toMatchObject({ delivery: Delivery.QUEUED, deduplicated: false });

    const again = { id: one.id, delivery: Delivery.QUEUED, deduplicated: true };
    expect(await bridge.storeInsight(insight)).toMatchObject(again);
    expect(await bridge.storeInsight({ content: "First zebra!", project: "p" })).toMatchObject(
      again,
    );
    const reused = await bridge
      .storeInsight({ ...insight, content: "another" })
      .catch((error: ConnectError) => error.findDetails(ErrorInfoSchema)[0]?.reason);
    expect(reused).toBe("REQUEST_ID_REUSED");
    const known = await bridge.storeReflection({ content: "Known zebra." });
    expect(known).toMatchObject({ id: "old", delivery: Delivery.WRITTEN, deduplicated: true });

    const { hits } = await bridge.searchReflections({ query: "zebra" });
    expect(hits.map(({ record }) => record?.id).sort()).toEqual([one.id, two.id, "old"].sort());
    expect(hits.find(({ record }) => record?.id === one.id)?.record).toMatchObject({
      era: "outbox",
      insightType: "gotcha",
      project: "p",
      origins: [],
    });
    const headers = { [tenantHeader]: "another" };
    const others = await bridge.searchReflections({ query: "zebra" }, { headers });
    expect(others.hits.map(({ record }) => record?.id)).toEqual(["old"]);
    const status = await bridge.getStatus({});
    expect(status.queuedWrites).toBe(2n);
    expect(status.oldestQueuedAge).toBeDefined();

    await holder[Symbol.asyncDispose]();
    await until(() => delivered(bridge));
    const three = await bridge.storeReflection({ content: "third zebra" });
    expect(three.delivery).toBe(Delivery.WRITTEN);
    expect((await rows()).map(({ id }) => id)).toEqual(["old", one.id, two.id, three.id]);
    expect(await bridge.storeInsight(insight)).toMatchObject({
      id: one.id,
      delivery: Delivery.WRITTEN,
      deduplicated: true,
    });
    await until(async () => {
      const { hits: after } = await bridge.searchReflections({ query: "zebra" });
      return after.length === 4 && after.every(({ record }) => record?.era === "F");
    });
    expect((await bridge.getStatus({})).oldestQueuedAge).toBeUndefined();
  });

  test("twenty callers at once queue one record, and twenty different ones all", async () => {
    const holder = await heldFile();
    const bridge = await start();
    const same = await Promise.all(
      Array.from({ length: 20 }, () => bridge.storeInsight({ content: "the one" })),
    );
    expect(new Set(same.map(({ id }) => id)).size).toBe(1);
    await Promise.all(
      Array.from({ length: 20 }, (_, at) => bridge.storeReflection({ content: `number ${at}` })),
    );
    await holder[Symbol.asyncDispose]();
    await until(() => delivered(bridge));
    expect(await rows()).toHaveLength(21);
  });

  test("what was stored by another program meanwhile is not lost by delivering", async () => {
    const holder = await heldFile();
    const bridge = await start();
    const { id } = await bridge.storeInsight({ content: "ours" });
    await holder.run("insert into reflections_v2 (id, content) values ('theirs', 'their zebra')");
    await holder[Symbol.asyncDispose]();
    await until(() => delivered(bridge));
    expect((await rows()).map((row) => row["id"]).sort()).toEqual([id, "theirs"].sort());
    await until(async () => (await bridge.searchReflections({ query: "zebra" })).hits.length === 1);
    expect(await bridge.storeInsight({ content: "Their zebra!" })).toMatchObject({
      id: "theirs",
      deduplicated: true,
    });
  });

  test("without an outbox it says who holds the file and when to come again", async () => {
    const holder = await heldFile();
    await writeFile(join(folder, "data"), "a file where the folder should be");
    const bridge = await start();
    const refused = await bridge
      .storeInsight({ content: "words" })
      .then(() => undefined, ConnectError.from);
    expect(refused?.code).toBe(Code.Unavailable);
    const info = refused?.findDetails(ErrorInfoSchema)[0];
    expect(info?.reason).toBe("STORE_LOCKED");
    expect(info?.metadata["holder"]).toContain(`(PID ${holder.pid})`);
    expect((await bridge.getStatus({})).message).toContain("outbox");
  });
});

describe("a bridge that is killed", () => {
  test("has lost nothing that it had queued, and delivers each once, in order", async () => {
    const holder = await heldFile();
    const ids: string[] = [];
    for (let round = 0; round < 2; round++) {
      const killed = await spawnBridge();
      for (let at = 0; at < 10; at++) {
        const content = `lesson ${round} ${at}`;
        const { id, delivery } = await killed.bridge.storeReflection({ content });
        expect(delivery).toBe(Delivery.QUEUED);
        ids.push(id);
      }
      await kill(killed.child);
    }
    await holder[Symbol.asyncDispose]();
    // Killed while it delivers, wherever it is then.
    for (const delay of [0, 30]) {
      const { child } = await spawnBridge();
      await sleep(delay);
      await kill(child);
    }
    const { bridge } = await spawnBridge();
    await until(() => delivered(bridge));
    expect((await rows()).map(({ id }) => id)).toEqual(ids);
    const again = await bridge.storeReflection({ content: "lesson 0 0" });
    expect(again).toMatchObject({ id: ids[0], deduplicated: true });
  });

  test("after it wrote and before it could strike out, writes nothing twice", async () => {
    const holder = await heldFile();
    const first = await spawnBridge();
    const { id } = await first.bridge.storeReflection({ content: "striking out" });
    await kill(first.child);
    // The state that such a kill leaves: written, and still in the outbox.
    await holder.run(
      `insert into reflections_v2 (id, content, insight_type) values ('${id}', 'striking out', null)`,
    );
    await holder[Symbol.asyncDispose]();
    const { bridge } = await spawnBridge();
    await until(() => delivered(bridge));
    expect(await rows()).toHaveLength(1);
    const { hits } = await bridge.searchReflections({ query: "striking" });
    expect(hits.map(({ record }) => record?.era)).toEqual(["F"]);
  });
});

async function spawnBridge(): Promise<{ bridge: Bridge; child: ChildProcess }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "main.ts")], {
    env: {
      ...process.env,
      MAHAVISHNU_DATA_DIR: join(folder, "data"),
      MAHAVISHNU_SESSION_BUDDY_FILE: file,
      MAHAVISHNU_SESSION_BUDDY_PORT: "0",
      MAHAVISHNU_EMBEDDING_ADDRESS: "127.0.0.1:1",
      MAHAVISHNU_LOG_LEVEL: "info",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  resources.defer("bridge", () => kill(child));
  for await (const line of createInterface({ input: child.stdout })) {
    const { address, msg } = JSON.parse(line) as { address?: string; msg: string };
    if (msg !== "listening" || address === undefined) continue;
    child.stdout.resume();
    return { bridge: clientOf(address), child };
  }
  throw new Error("the bridge did not start");
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
