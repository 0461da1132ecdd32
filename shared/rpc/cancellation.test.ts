import { Code, type ConnectError, type HandlerContext } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { sleep } from "../lifecycle.ts";
import { callContext, outgoing } from "./call-context.ts";
import { reasonOf } from "./peer-errors.ts";
import { drain, eventually, rejection } from "./testing/conditions.ts";
import { startEcho } from "./testing/echo-server.ts";

/** Waits for the call's abort and tells its reason. */
async function aborted(context: HandlerContext): Promise<ConnectError> {
  return (await rejection(sleep(10_000, context.signal))) as ConnectError;
}

/** On a busy machine a caller's reset may arrive well before the server's own timer fires. */
const late = [Code.DeadlineExceeded, Code.Canceled];

const codeOf = (error: unknown) => (error as ConnectError).code;

test("a caller's cancellation aborts the handler's signal", async () => {
  let reason: ConnectError | undefined;
  await using echo = await startEcho({
    async unary(_request, context) {
      reason = await aborted(context);
      throw reason;
    },
  });
  const abort = new AbortController();
  const call = echo.client.unary({}, { signal: abort.signal });
  await eventually(() => echo.server.callsInFlight === 1);
  abort.abort();
  expect(codeOf(await rejection(call))).toBe(Code.Canceled);
  await eventually(() => reason !== undefined);
  expect(reason?.code).toBe(Code.Canceled);
  await eventually(() => echo.logs.some((line) => line["code"] === "CANCELLED"));
  expect(echo.logs.filter((line) => line["level"] === "error")).toEqual([]);
});

test("an aborted signal starts no call", async () => {
  let served = 0;
  await using echo = await startEcho({
    unary() {
      served++;
      return {};
    },
  });
  const signal = AbortSignal.abort();
  expect(codeOf(await rejection(echo.client.unary({}, { signal })))).toBe(Code.Canceled);
  expect(codeOf((await drain(echo.client.serverStream({}, { signal }))).error)).toBe(Code.Canceled);
  expect(served).toBe(0);
});

test("cancelling a stream lets the handler's finally run, wherever it waits", async () => {
  const ended: string[] = [];
  await using echo = await startEcho({
    async *serverStream() {
      try {
        // Soon held back, since the caller stops reading.
        while (true) yield { payload: new Uint8Array(100_000) };
      } finally {
        ended.push("writing");
      }
    },
    async *bidi(requests) {
      try {
        for await (const _ of requests) yield {};
      } finally {
        ended.push("reading");
      }
    },
  });
  const abort = new AbortController();
  const stream = echo.client.serverStream({}, { signal: abort.signal })[Symbol.asyncIterator]();
  await stream.next();
  const idle = Promise.withResolvers<void>();
  async function* requests() {
    yield {};
    await idle.promise;
  }
  const bidi = echo.client.bidi(requests(), { signal: abort.signal })[Symbol.asyncIterator]();
  await bidi.next();
  abort.abort();
  expect(codeOf(await rejection(bidi.next()))).toBe(Code.Canceled);
  await eventually(() => ended.length === 2);
  expect(ended.toSorted()).toEqual(["reading", "writing"]);
  await eventually(() => echo.server.callsInFlight === 0);
  idle.resolve();
});

test("a reader that leaves the transport's iterable cancels the call", async () => {
  let ended = false;
  await using echo = await startEcho({
    async *serverStream() {
      try {
        while (true) yield { payload: new Uint8Array(100_000) };
      } finally {
        ended = true;
      }
    },
  });
  const { EchoService } = await import("./testing/echo.ts");
  async function* one() {
    yield {};
  }
  const response = await echo.transport.stream(
    EchoService.method.serverStream,
    undefined,
    undefined,
    undefined,
    one(),
  );
  for await (const _ of response.message) break;
  await eventually(() => ended);
});

test("what the requests throw ends the call and reaches the caller", async () => {
  let reason: unknown;
  await using echo = await startEcho({
    async clientStream(requests, context) {
      try {
        for await (const _ of requests);
      } catch (error) {
        reason = error;
        expect(context.signal.aborted).toBe(true);
        throw error;
      }
      return {};
    },
  });
  async function* failing() {
    yield {};
    await eventually(() => echo.server.callsInFlight === 1);
    throw new Error("no more requests");
  }
  const error = (await rejection(echo.client.clientStream(failing()))) as ConnectError;
  expect(error.rawMessage).toBe("no more requests");
  await eventually(() => reason !== undefined);
  expect(codeOf(reason)).toBe(Code.Canceled);
});

test("a deadline ends the call at both ends", async () => {
  let reason: ConnectError | undefined;
  let remaining: number | undefined;
  await using echo = await startEcho({
    async unary(_request, context) {
      remaining = context.timeoutMs();
      expect(callContext(context).deadline?.getTime()).toBeGreaterThan(Date.now());
      reason = await aborted(context);
      throw reason;
    },
  });
  const error = await rejection(echo.client.unary({}, { timeoutMs: 150 }));
  expect(codeOf(error)).toBe(Code.DeadlineExceeded);
  expect(remaining).toBeGreaterThan(0);
  expect(remaining).toBeLessThanOrEqual(150);
  await eventually(() => reason !== undefined);
  expect(late).toContain(reason?.code);
});

test("a unary call without a deadline gets the server's", async () => {
  let reason: ConnectError | undefined;
  await using echo = await startEcho(
    {
      async unary(_request, context) {
        expect(context.timeoutMs()).toBeLessThanOrEqual(100);
        reason = await aborted(context);
        throw reason;
      },
      async *serverStream(_request, context) {
        yield { text: String(context.timeoutMs()) };
      },
    },
    { unaryTimeoutMs: 100 },
  );
  const error = await rejection(echo.client.unary({}));
  expect(codeOf(error)).toBe(Code.DeadlineExceeded);
  expect(reasonOf(error)).toBe("DEADLINE_EXCEEDED");
  await eventually(() => reason !== undefined);
  expect(reason?.code).toBe(Code.DeadlineExceeded);
  const { items } = await drain(echo.client.serverStream({}));
  expect(items.map((m) => m.text)).toEqual(["undefined"]);
});

test("a client's default deadline bounds its unary calls", async () => {
  await using echo = await startEcho(
    { unary: async (_request, context) => Promise.reject(await aborted(context)) },
    {},
    { defaultTimeoutMs: 100 },
  );
  expect(codeOf(await rejection(echo.client.unary({})))).toBe(Code.DeadlineExceeded);
});

test("deadline and cancellation pass on through two hops", async () => {
  const reasons: (Code | undefined)[] = [];
  let remaining: number | undefined;
  await using last = await startEcho({
    async unary(_request, context) {
      remaining = context.timeoutMs();
      const reason = await aborted(context);
      reasons.push(reason.code);
      throw reason;
    },
  });
  await using first = await startEcho({
    unary: (request, context) =>
      last.client.unary({ text: request.text }, outgoing(context, { shareOfDeadline: 0.5 })),
  });
  const error = await rejection(first.client.unary({}, { timeoutMs: 400 }));
  expect(codeOf(error)).toBe(Code.DeadlineExceeded);
  expect(remaining).toBeLessThanOrEqual(200);
  await eventually(() => reasons.length === 1);
  expect(late).toContain(reasons[0]);

  const abort = new AbortController();
  const call = first.client.unary({}, { signal: abort.signal });
  await eventually(() => last.server.callsInFlight === 1);
  abort.abort();
  await rejection(call);
  await eventually(() => reasons.length === 2);
  expect(reasons[1]).toBe(Code.Canceled);
});

test("the signal aborts when the call is over, so that nothing of it goes on", async () => {
  let signal: AbortSignal | undefined;
  await using echo = await startEcho({
    unary(_request, context) {
      signal = context.signal;
      return {};
    },
  });
  await echo.client.unary({});
  await eventually(() => signal?.aborted === true);
});
