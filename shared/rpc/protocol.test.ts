import { Code, type ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { DomainError } from "../errors.ts";
import { silentLogger } from "../logging.ts";
import { callContext } from "./call-context.ts";
import { serverChain } from "./chain.ts";
import { reasonOf } from "./peer-errors.ts";
import { errorOf } from "./status.ts";
import { drain, rejection } from "./testing/conditions.ts";
import { EchoService } from "./testing/echo.ts";
import { startEcho } from "./testing/echo-server.ts";

const asIs = (bytes: Buffer) => bytes;
const path = (method: string) => `/${EchoService.typeName}/${method}`;

/** Sends these bytes as messages of one call, whatever its kind should be. */
async function sendRaw(address: string, method: string, messages: Buffer[]): Promise<ConnectError> {
  const client = new Client(address, credentials.createInsecure());
  try {
    return await new Promise((resolve, reject) => {
      const call = client.makeBidiStreamRequest(path(method), asIs, asIs, new Metadata());
      call.on("error", (error: ServiceError) => resolve(errorOf(error)));
      call.on("end", () => reject(new Error("succeeded")));
      call.resume();
      for (const message of messages) call.write(message);
      call.end();
    });
  } finally {
    client.close();
  }
}

const empty = Buffer.alloc(0);
const garbage = Buffer.from([0xff, 0xff, 0xff]);

test("too few or too many messages for the kind of call are UNIMPLEMENTED", async () => {
  await using echo = await startEcho({ unary: () => ({}), async *serverStream() {} });
  for (const method of ["Unary", "ServerStream"]) {
    for (const messages of [[], [empty, empty]]) {
      const error = await sendRaw(echo.server.address, method, messages);
      expect([method, messages.length, error.code]).toEqual([
        method,
        messages.length,
        status.UNIMPLEMENTED,
      ]);
    }
  }
  const unknown = await sendRaw(echo.server.address, "NoSuch", [empty]);
  expect(unknown.code).toBe(status.UNIMPLEMENTED);
});

test("bytes that are no request are the caller's mistake", async () => {
  await using echo = await startEcho({
    unary: () => ({}),
    async *bidi(requests) {
      for await (const _ of requests) yield {};
    },
  });
  for (const method of ["Unary", "Bidi"]) {
    const error = await sendRaw(echo.server.address, method, [garbage]);
    expect([error.code, reasonOf(error)]).toEqual([Code.InvalidArgument, "INVALID_FIELD"]);
    expect(error.rawMessage).toBe("the request is not a mahavishnu.testing.v1.Echo");
  }
});

test("an answer that is not of the method's type is an error of the call", async () => {
  await using echo = await startEcho({
    unary: () => ({ count: "many" }) as never,
    async *serverStream() {
      yield { count: 1 };
      yield { count: "many" } as never;
    },
  });
  expect(((await rejection(echo.client.unary({}))) as ConnectError).code).toBe(Code.Internal);
  const { items, error } = await drain(echo.client.serverStream({}));
  expect([items.length, (error as ConnectError).code]).toEqual([1, Code.Internal]);
});

test("the chain works in any Connect server, such as a router transport", async () => {
  const interceptors = serverChain({
    logger: silentLogger(),
    authToken: "secret",
    unaryTimeoutMs: 1_000,
  });
  const transport = createRouterTransport(
    ({ service }) =>
      service(EchoService, {
        unary: (_request, context) => ({ text: callContext(context).tenant }),
        async *serverStream() {
          yield {};
          throw new DomainError("aborted", "CONFLICT", "again");
        },
      }),
    { router: { interceptors } },
  );
  const client = createClient(EchoService, transport);
  const headers = { authorization: "Bearer secret", "x-mahavishnu-tenant": "t1" };
  expect((await client.unary({}, { headers })).text).toBe("t1");
  const { items, error } = await drain(client.serverStream({}, { headers }));
  expect([items.length, reasonOf(error)]).toEqual([1, "CONFLICT"]);
  expect(reasonOf(await rejection(client.unary({})))).toBe("UNAUTHENTICATED");
});

test("a caller that leaves while extra interceptors stand around its stream lets it end", async () => {
  let ended = false;
  await using echo = await startEcho(
    {
      async *serverStream() {
        try {
          while (true) yield { payload: new Uint8Array(100_000) };
        } finally {
          ended = true;
        }
      },
    },
    { interceptors: [(next) => (request) => next(request)] },
  );
  const abort = new AbortController();
  const stream = echo.client.serverStream({}, { signal: abort.signal })[Symbol.asyncIterator]();
  await stream.next();
  abort.abort();
  await expect.poll(() => ended).toBe(true);
  await expect
    .poll(() => echo.logs.find((line) => line["msg"] === "call")?.["code"])
    .toBe("CANCELLED");
});
