import { Code, type ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { sleep } from "../lifecycle.ts";
import { callContext } from "./call-context.ts";
import { drain, eventually, rejection } from "./testing/conditions.ts";
import { startEcho } from "./testing/echo-server.ts";

test("lets calls in flight end, and takes no new ones", async () => {
  const gate = Promise.withResolvers<void>();
  await using echo = await startEcho({
    async unary() {
      await gate.promise;
      return { text: "done" };
    },
  });
  const call = echo.client.unary({});
  await eventually(() => echo.server.callsInFlight === 1);
  const stopped = echo.server.shutdown(10_000);
  expect(echo.health.statusOf("")).toBe(false);
  // The news that the connection takes no more calls needs a moment to arrive.
  await eventually(() => echo.health.statusOf("") === false);
  await sleep(50);
  const late = (await rejection(echo.client.unary({}))) as ConnectError;
  expect(late.code).toBe(Code.Unavailable);
  gate.resolve();
  expect((await call).text).toBe("done");
  await stopped;
  expect(echo.server.callsInFlight).toBe(0);
});

test("ends what is left after the grace with UNAVAILABLE and aborts its signal", async () => {
  const reasons: ConnectError[] = [];
  await using echo = await startEcho({
    async unary(_request, context) {
      const reason = (await rejection(sleep(60_000, context.signal))) as ConnectError;
      reasons.push(reason);
      throw reason;
    },
    async *serverStream(_request, context) {
      yield {};
      await sleep(60_000, context.signal);
    },
  });
  const call = rejection(echo.client.unary({}));
  const stream = drain(echo.client.serverStream({}));
  await eventually(() => echo.server.callsInFlight === 2);
  await echo.server.shutdown(50);
  expect(((await call) as ConnectError).code).toBe(Code.Unavailable);
  expect(((await stream).error as ConnectError).code).toBe(Code.Unavailable);
  expect(reasons.map((reason) => reason.code)).toEqual([Code.Unavailable]);
});

test("tells endless streams at once", async () => {
  await using echo = await startEcho({
    async *serverStream(_request, context) {
      yield {};
      const { stopping } = callContext(context);
      await new Promise((resolve) => stopping.addEventListener("abort", resolve));
      yield { text: "bye" };
    },
  });
  const stream = drain(echo.client.serverStream({}));
  await eventually(() => echo.server.callsInFlight === 1);
  await echo.server.shutdown(10_000);
  expect((await stream).items.map((m) => m.text)).toEqual(["", "bye"]);
});

test("a handler that ignores its signal does not hold the shutdown", async () => {
  const gate = Promise.withResolvers<void>();
  await using echo = await startEcho({
    async unary() {
      await gate.promise;
      return {};
    },
  });
  const call = rejection(echo.client.unary({}));
  await eventually(() => echo.server.callsInFlight === 1);
  await echo.server.shutdown(20);
  await echo.server.shutdown(20);
  expect(((await call) as ConnectError).code).toBe(Code.Unavailable);
  gate.resolve();
  await eventually(() => echo.logs.some((line) => line["code"] === "UNAVAILABLE"));
});
