import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test } from "vitest";
import { eventually, rejection } from "./testing/conditions.ts";
import type { Echo } from "./testing/echo.ts";
import { type EchoHarness, startEcho } from "./testing/echo-server.ts";

let ended: string[];
let reasons: unknown[];
let echo: EchoHarness;
/** What nobody has caught. */
let unhandled: unknown[];
const onUnhandled = (error: unknown) => unhandled.push(error);

beforeEach(async () => {
  [ended, reasons, unhandled] = [[], [], []];
  process.on("unhandledRejection", onUnhandled);
  echo = await startEcho({
    async *serverStream({ count }, { signal }) {
      signal.addEventListener("abort", () => reasons.push(signal.reason));
      try {
        if (count > 0) {
          for (let n = 0; n < count; n++) yield { count: n };
          return;
        }
        // Where count is negative, the caller waits for the first message for ever.
        if (count < 0) await new Promise((_, reject) => signal.addEventListener("abort", reject));
        while (true) yield { payload: new Uint8Array(100_000) };
      } finally {
        ended.push("serverStream");
      }
    },
    async *bidi(requests, { signal }) {
      signal.addEventListener("abort", () => reasons.push(signal.reason));
      try {
        for await (const request of requests) yield request;
      } finally {
        ended.push("bidi");
      }
    },
  });
});

afterEach(async () => {
  await echo[Symbol.asyncDispose]();
  process.off("unhandledRejection", onUnhandled);
  expect(unhandled).toEqual([]);
});

/** The server has ended the call since its caller cancelled it. */
async function expectCancelled(method: string): Promise<void> {
  await eventually(() => ended.includes(method) && echo.server.callsInFlight === 0);
  expect(reasons).toMatchObject([{ code: Code.Canceled }]);
}

/** Requests that never end, as those of a producer that waits for work. */
async function* endless(onEnd: () => void = () => {}) {
  try {
    for (let count = 1; ; count++) {
      yield { count };
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    onEnd();
  }
}

test("break cancels a server stream", async () => {
  for await (const _ of echo.client.serverStream({})) break;
  await expectCancelled("serverStream");
});

test("break cancels a bidi stream and ends its requests", async () => {
  let requestsEnded = false;
  const requests = endless(() => {
    requestsEnded = true;
  });
  for await (const { count } of echo.client.bidi(requests)) if (count === 3) break;
  await expectCancelled("bidi");
  await eventually(() => requestsEnded);
});

test("an error within the loop cancels the call and reaches whoever loops", async () => {
  const failure = new Error("of the reader");
  const loop = async () => {
    for await (const _ of echo.client.serverStream({})) throw failure;
  };
  expect(await rejection(loop())).toBe(failure);
  await expectCancelled("serverStream");
});

test.each([
  ["before anything was asked for", false],
  ["while the first message is waited for", true],
])("return() cancels the call, %s", async (_, asked) => {
  const iterator = echo.client.serverStream({ count: -1 })[Symbol.asyncIterator]();
  const first = asked ? rejection(iterator.next()) : undefined;
  await eventually(() => echo.server.callsInFlight === 1);
  expect(await iterator.return?.("value")).toEqual({ done: true, value: "value" });
  expect(((await first) as ConnectError | undefined)?.code).toBe(asked ? Code.Canceled : undefined);
  await expectCancelled("serverStream");
  expect(await iterator.next()).toEqual({ done: true, value: undefined });
});

test("throw() cancels the call and throws", async () => {
  const iterator = echo.client.bidi(endless())[Symbol.asyncIterator]();
  await iterator.next();
  const failure = new Error("thrown in");
  expect(await rejection(iterator.throw?.(failure) as Promise<unknown>)).toBe(failure);
  await expectCancelled("bidi");
});

test("return() after the end and a second return() change nothing", async () => {
  const iterator = echo.client.serverStream({ count: 1 })[Symbol.asyncIterator]();
  expect((await iterator.next()).value).toMatchObject({ count: 0 });
  expect((await iterator.next()).done).toBe(true);
  await iterator.return?.();
  await iterator.return?.();
  await eventually(() => echo.server.callsInFlight === 0);
  expect(echo.logs.map(({ code }) => code).filter((code) => code === "CANCELLED")).toEqual([]);
});

test("a call that nobody reads may fail unheard", async () => {
  echo.client.serverStream({}, { signal: AbortSignal.abort() });
  const left = echo.client.serverStream({ count: -1 });
  await eventually(() => echo.server.callsInFlight === 1);
  await left[Symbol.asyncIterator]().return?.();
  await expectCancelled("serverStream");
});

test("a signal that outlives its streams gathers no listeners, and its reason is told", async () => {
  const abort = new AbortController();
  const listeners = { added: 0, removed: 0 };
  const { signal } = abort;
  const { addEventListener: add, removeEventListener: remove } = signal;
  Object.assign(signal, {
    addEventListener(...args: Parameters<typeof add>) {
      listeners.added++;
      add.apply(signal, args);
    },
    removeEventListener(...args: Parameters<typeof remove>) {
      listeners.removed++;
      remove.apply(signal, args);
    },
  });
  for await (const _ of echo.client.serverStream({ count: 2 }, { signal }));
  for await (const _ of echo.client.serverStream({}, { signal })) break;
  await echo.client.serverStream({}, { signal })[Symbol.asyncIterator]().return?.();
  expect(listeners.added).toBe(3);
  expect(listeners.removed).toBeGreaterThanOrEqual(3);
  const iterator = echo.client.serverStream({ count: -1 }, { signal })[Symbol.asyncIterator]();
  const first = rejection(iterator.next());
  const reason = new ConnectError("enough", Code.ResourceExhausted);
  abort.abort(reason);
  expect(await first).toBe(reason);
});

test("header and trailer are told, and messages come in order", async () => {
  const told: string[] = [];
  const seen: Echo[] = [];
  const options = { onHeader: () => told.push("header"), onTrailer: () => told.push("trailer") };
  for await (const one of echo.client.serverStream({ count: 3 }, options)) seen.push(one);
  expect(seen.map(({ count }) => count)).toEqual([0, 1, 2]);
  expect(told).toEqual(["header", "trailer"]);
});
