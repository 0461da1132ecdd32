import { expect, test } from "vitest";
import { eventually, settled } from "./testing/conditions.ts";
import { startEcho } from "./testing/echo-server.ts";

const chunkBytes = 256 * 1024;
const chunk = { payload: new Uint8Array(chunkBytes).fill(7) };
const megabyte = 1024 * 1024;
/** What may be under way in one direction: windows, buffers of both ends, grpc-js's retry buffer. */
const boundBytes = 8 * megabyte;

test("a reader that rests holds the server back, and loses nothing", async () => {
  let made = 0;
  const total = 200;
  await using echo = await startEcho({
    async *serverStream() {
      for (; made < total; made++) yield chunk;
    },
  });
  const stream = echo.client.serverStream({})[Symbol.asyncIterator]();
  await stream.next();
  expect((await settled(() => made)) * chunkBytes).toBeLessThan(boundBytes);
  let received = 1;
  while ((await stream.next()).done !== true) received++;
  expect(received).toBe(total);
});

test("a caller who does not read at all holds the server back", async () => {
  let made = 0;
  await using echo = await startEcho({
    async *serverStream() {
      for (; ; made++) yield chunk;
    },
    unary: () => ({ text: "on the same connection" }),
  });
  const abort = new AbortController();
  void echo.client
    .serverStream({}, { signal: abort.signal })
    [Symbol.asyncIterator]()
    .next()
    .catch(() => {});
  await eventually(() => made > 0);
  expect((await settled(() => made)) * chunkBytes).toBeLessThan(boundBytes);
  // What rests is this stream, not its connection.
  expect((await echo.client.unary({})).text).toBe("on the same connection");
  abort.abort();
});

test("a handler that rests holds the caller back, and loses nothing", async () => {
  let made = 0;
  const total = 200;
  const rest = Promise.withResolvers<void>();
  await using echo = await startEcho({
    async clientStream(requests) {
      let count = 0;
      for await (const _ of requests) {
        if (count === 0) await rest.promise;
        count++;
      }
      return { count };
    },
  });
  async function* requests() {
    for (; made < total; made++) yield chunk;
  }
  const call = echo.client.clientStream(requests());
  await eventually(() => made > 0);
  expect((await settled(() => made)) * chunkBytes).toBeLessThan(boundBytes);
  rest.resolve();
  expect((await call).count).toBe(total);
});

test("a caller who does not read the answers is not read from either", async () => {
  let made = 0;
  await using echo = await startEcho({
    async *bidi(requests) {
      for await (const request of requests) yield request;
    },
  });
  const abort = new AbortController();
  async function* requests() {
    for (; ; made++) yield chunk;
  }
  const answers = echo.client.bidi(requests(), { signal: abort.signal })[Symbol.asyncIterator]();
  await answers.next();
  expect((await settled(() => made)) * chunkBytes).toBeLessThan(2 * boundBytes);
  abort.abort();
});

test("500 MB each way pass within bounded memory", async () => {
  const messages = Math.ceil((500 * 1_000_000) / chunkBytes);
  let received = 0;
  await using echo = await startEcho({
    async *bidi(requests) {
      for await (const request of requests) {
        received += request.payload.byteLength;
        yield request;
      }
    },
  });
  async function* requests() {
    for (let i = 0; i < messages; i++) yield chunk;
  }
  const before = process.memoryUsage().rss;
  let peak = before;
  let answered = 0;
  let count = 0;
  for await (const { payload } of echo.client.bidi(requests())) {
    answered += payload.byteLength;
    if (count++ % 20 === 0) peak = Math.max(peak, process.memoryUsage().rss);
  }
  expect(received).toBe(messages * chunkBytes);
  expect(answered).toBe(messages * chunkBytes);
  // Both ends live in this process; what was passed through is twice a gigabyte.
  expect((peak - before) / megabyte).toBeLessThan(250);
}, 60_000);
