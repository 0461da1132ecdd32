import { createServer } from "node:net";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { silentLogger } from "../logging.ts";
import { callContext } from "./call-context.ts";
import { HealthRegistry } from "./health.ts";
import { reasonOf } from "./peer-errors.ts";
import { startRpcServer } from "./server.ts";
import { drain, rejection } from "./testing/conditions.ts";
import { startEcho } from "./testing/echo-server.ts";

async function* counting(n: number) {
  for (let count = 0; count < n; count++) yield { count };
}

const all = {
  unary: ({ text }: { text: string }) => ({ text: `${text}!` }),
  async *serverStream({ count }: { count: number }) {
    yield* counting(count);
  },
  async clientStream(requests: AsyncIterable<{ count: number }>) {
    let count = 0;
    for await (const request of requests) count += request.count;
    return { count };
  },
  async *bidi(requests: AsyncIterable<{ count: number }>) {
    for await (const { count } of requests) yield { count: count * 2 };
  },
};

test("serves all four kinds of calls", async () => {
  await using echo = await startEcho(all);
  expect((await echo.client.unary({ text: "a" })).text).toBe("a!");
  expect((await drain(echo.client.serverStream({ count: 100 }))).items.map((m) => m.count)).toEqual(
    Array.from({ length: 100 }, (_, i) => i),
  );
  expect((await echo.client.clientStream(counting(100))).count).toBe(4_950);
  expect((await drain(echo.client.bidi(counting(50)))).items.map((m) => m.count)).toEqual(
    Array.from({ length: 50 }, (_, i) => i * 2),
  );
});

test("serves streams without a message", async () => {
  await using echo = await startEcho(all);
  expect(await drain(echo.client.serverStream({ count: 0 }))).toEqual({
    items: [],
    error: undefined,
  });
  expect((await echo.client.clientStream(counting(0))).count).toBe(0);
  expect((await drain(echo.client.bidi(counting(0)))).items).toEqual([]);
});

test("answers after the caller has half-closed", async () => {
  await using echo = await startEcho({
    async *bidi(requests) {
      let count = 0;
      for await (const _ of requests) count++;
      // Nothing is sent before the caller's end is seen.
      yield { count };
      yield { text: "more" };
    },
  });
  const { items } = await drain(echo.client.bidi(counting(3)));
  expect(items.map((m) => [m.count, m.text])).toEqual([
    [3, ""],
    [0, "more"],
  ]);
});

test("answers while the caller still sends", async () => {
  await using echo = await startEcho(all);
  const wait = Promise.withResolvers<void>();
  async function* requests() {
    yield { count: 1 };
    await wait.promise;
    yield { count: 2 };
  }
  const answers = echo.client.bidi(requests())[Symbol.asyncIterator]();
  expect((await answers.next()).value?.count).toBe(2);
  wait.resolve();
  expect((await answers.next()).value?.count).toBe(4);
  expect((await answers.next()).done).toBe(true);
});

test("a handler may return before it has read everything", async () => {
  await using echo = await startEcho({
    async *bidi(requests) {
      for await (const { count } of requests) {
        yield { count };
        return;
      }
    },
    async clientStream(requests) {
      for await (const { count } of requests) return { count };
      return {};
    },
  });
  let cleanedUp = 0;
  async function* endless() {
    try {
      for (let count = 1; ; count++) yield { count, payload: new Uint8Array(10_000) };
    } finally {
      cleanedUp++;
    }
  }
  const { items, error } = await drain(echo.client.bidi(endless()));
  expect(error).toBeUndefined();
  expect(items.map((m) => m.count)).toEqual([1]);
  expect((await echo.client.clientStream(endless())).count).toBe(1);
  await expect.poll(() => cleanedUp).toBe(2);
});

test("methods without an implementation say so", async () => {
  await using echo = await startEcho({});
  const error = await rejection(echo.client.unary({}));
  expect((error as ConnectError).code).toBe(Code.Unimplemented);
  expect(reasonOf(error)).toBe("NOT_IMPLEMENTED");
  const streamed = await drain(echo.client.bidi(counting(1)));
  expect((streamed.error as ConnectError).code).toBe(Code.Unimplemented);
});

test("carries headers and trailers both ways, text and binary", async () => {
  const binary = Buffer.from([0, 1, 2, 250, 255]).toString("base64");
  let seen: Headers | undefined;
  await using echo = await startEcho({
    unary(_request, context) {
      seen = context.requestHeader;
      context.responseHeader.set("x-head", "h");
      context.responseHeader.set("x-head-bin", binary);
      context.responseTrailer.set("x-tail-bin", binary);
      return {};
    },
    async *serverStream(_request, context) {
      context.responseHeader.set("x-head", "h");
      yield {};
      context.responseTrailer.set("x-tail", "t");
    },
  });
  let header = new Headers();
  let trailer = new Headers();
  const options = {
    headers: { "x-text": "some text", "x-data-bin": binary },
    onHeader: (headers: Headers) => {
      header = headers;
    },
    onTrailer: (headers: Headers) => {
      trailer = headers;
    },
  };
  await echo.client.unary({}, options);
  expect(seen?.get("x-text")).toBe("some text");
  expect(seen?.get("x-data-bin")).toBe(binary);
  expect([header.get("x-head"), header.get("x-head-bin")]).toEqual(["h", binary]);
  expect(trailer.get("x-tail-bin")).toBe(binary);

  await drain(echo.client.serverStream({}, options));
  expect(header.get("x-head")).toBe("h");
  expect(trailer.get("x-tail")).toBe("t");
});

test("an error carries the headers and trailers that were set before it", async () => {
  await using echo = await startEcho({
    unary(_request, context) {
      context.responseHeader.set("x-head", "h");
      context.responseTrailer.set("x-tail", "t");
      throw new ConnectError("no", Code.Aborted, { "x-error": "e" });
    },
  });
  const error = (await rejection(echo.client.unary({}))) as ConnectError;
  expect(error.rawMessage).toBe("no");
  expect([error.metadata.get("x-tail"), error.metadata.get("x-error")]).toEqual(["t", "e"]);
});

test("metadata that gRPC cannot carry does not hide the outcome", async () => {
  await using echo = await startEcho({
    unary(_request, context) {
      context.responseTrailer.set("x-tail", "\u00e9");
      throw new ConnectError("told", Code.Aborted);
    },
    async *serverStream(_request, context) {
      context.responseHeader.set("x-head", "\u00e9");
      yield {};
    },
  });
  expect(((await rejection(echo.client.unary({}))) as ConnectError).rawMessage).toBe("told");
  const { error } = await drain(echo.client.serverStream({}));
  expect((error as ConnectError).code).toBe(Code.Internal);
});

test("serves 1,000 calls at once", async () => {
  let running = 0;
  let most = 0;
  const gate = Promise.withResolvers<void>();
  await using echo = await startEcho({
    async unary({ count }, context) {
      running++;
      most = Math.max(most, running);
      if (running === 1_000) gate.resolve();
      await gate.promise;
      running--;
      return { count, text: callContext(context).tenant };
    },
  });
  const answers = await Promise.all(
    Array.from({ length: 1_000 }, (_, count) => echo.client.unary({ count })),
  );
  expect(answers.map((m) => m.count)).toEqual(Array.from({ length: 1_000 }, (_, i) => i));
  expect(most).toBe(1_000);
  expect(echo.server.callsInFlight).toBe(0);
});

test("a taken port is one line that names the address", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => holder.once("listening", resolve));
  const { port } = holder.address() as { port: number };
  const start = startRpcServer({
    host: "127.0.0.1",
    port,
    health: new HealthRegistry(),
    logger: silentLogger(),
    services: [],
  });
  await expect(start).rejects.toThrow(
    `cannot listen on 127.0.0.1:${port}: the address is already in use`,
  );
  holder.close();
});

test("an address that is none is one line as well", async () => {
  const start = startRpcServer({
    host: "no.such.host.invalid",
    port: 1,
    health: new HealthRegistry(),
    logger: silentLogger(),
    services: [],
  });
  await expect(start).rejects.toThrow(/^cannot listen on no\.such\.host\.invalid:1: \S/);
});

test("listens on IPv6", async () => {
  await using echo = await startEcho(all, { host: "::1" });
  expect(echo.server.address).toBe(`[::1]:${echo.server.port}`);
  expect((await echo.client.unary({ text: "six" })).text).toBe("six!");
});
