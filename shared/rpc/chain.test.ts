import { Code, type ConnectError, type Interceptor } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { Health } from "../gen/health/v1/health_pb.js";
import { callContext, outgoing, requestIdHeader } from "./call-context.ts";
import { createClient, createGrpcTransport } from "./client.ts";
import { reasonOf } from "./peer-errors.ts";
import { tenantHeader } from "./tenant.ts";
import { drain, eventually, rejection } from "./testing/conditions.ts";
import { EchoService } from "./testing/echo.ts";
import { startEcho } from "./testing/echo-server.ts";

const tellTenant = {
  unary: (_request: unknown, context: Parameters<typeof callContext>[0]) => ({
    text: callContext(context).tenant,
  }),
};
const forTenant = (name: string) => ({ headers: { [tenantHeader]: name } });
const callLines = (logs: readonly Record<string, unknown>[]) =>
  logs.filter((line) => line["msg"] === "call");

describe("the order of the chain shows in what a caller can learn", () => {
  const badTenant = forTenant("no/such");

  test("without a token nothing is said about the tenant's name; the refusal is logged", async () => {
    await using echo = await startEcho(tellTenant, { authToken: "secret" });
    const error = await rejection(echo.client.unary({}, badTenant));
    expect(reasonOf(error)).toBe("UNAUTHENTICATED");
    await eventually(() => callLines(echo.logs).length === 1);
    expect(callLines(echo.logs)[0]).toMatchObject({ code: "UNAUTHENTICATED", level: "debug" });
  });

  test("with a token the tenant's name is checked, before the handler runs", async () => {
    let served = 0;
    await using echo = await startEcho(
      {
        unary: () => {
          served++;
          return {};
        },
      },
      { authToken: "secret" },
      { authToken: "secret" },
    );
    const error = (await rejection(echo.client.unary({}, badTenant))) as ConnectError;
    expect([error.code, reasonOf(error)]).toEqual([Code.InvalidArgument, "INVALID_FIELD"]);
    expect(error.rawMessage).toContain(tenantHeader);
    expect(served).toBe(0);
  });

  test("errors of extra interceptors, which come last, go through the funnel and the log", async () => {
    const order: string[] = [];
    const failing: Interceptor = (next) => async (request) => {
      order.push(`tenant known: ${request.contextValues !== undefined}`);
      await next(request);
      throw new Error("after the handler");
    };
    const copying: Interceptor = (next) => (request) => {
      order.push(`sees ${request.stream ? "a stream" : JSON.stringify(request.message)}`);
      return next({ ...request });
    };
    await using echo = await startEcho(tellTenant, { interceptors: [copying, failing] });
    const error = (await rejection(echo.client.unary({ text: "x" }))) as ConnectError;
    expect([error.code, error.rawMessage]).toEqual([Code.Internal, "internal error"]);
    expect(order[0]).toContain('"text":"x"');
    expect(callLines(echo.logs)[0]).toMatchObject({ code: "INTERNAL", level: "info" });
  });
});

describe("authentication", () => {
  test.each([["wrong"], [""], ["secret2"]])("refuses the token %j", async (authToken) => {
    await using echo = await startEcho(tellTenant, { authToken: "secret" }, { authToken });
    const error = (await rejection(echo.client.unary({}))) as ConnectError;
    expect(error.code).toBe(Code.Unauthenticated);
  });

  test("lets the right token through, and everybody to health", async () => {
    await using echo = await startEcho(
      { ...tellTenant, serverStream: async function* () {} },
      { authToken: "secret" },
      { authToken: "secret" },
    );
    expect((await echo.client.unary({})).text).toBe("default");
    expect((await drain(echo.client.serverStream({}))).error).toBeUndefined();
    using anonymous = createGrpcTransport({ address: echo.server.address });
    await createClient(Health, anonymous).check({});
    const { error } = await drain(createClient(EchoService, anonymous).serverStream({}));
    expect((error as ConnectError).code).toBe(Code.Unauthenticated);
  });
});

describe("tenants", () => {
  test.each(["a", "Team-1.eu_west", "x".repeat(128)])("%s", async (name) => {
    await using echo = await startEcho(tellTenant);
    expect((await echo.client.unary({}, forTenant(name))).text).toBe(name);
  });

  test.each(["", "a b", "a/b", "x".repeat(129)])("%j is refused", async (name) => {
    await using echo = await startEcho(tellTenant);
    const error = (await rejection(echo.client.unary({}, forTenant(name)))) as ConnectError;
    expect(error.code).toBe(Code.InvalidArgument);
  });

  test("a transport's own tenant serves calls that name none", async () => {
    await using echo = await startEcho(tellTenant, {}, { tenant: "mine" });
    expect((await echo.client.unary({})).text).toBe("mine");
    expect((await echo.client.unary({}, forTenant("yours"))).text).toBe("yours");
  });
});

test("each call has one line, without payloads", async () => {
  await using echo = await startEcho({
    ...tellTenant,
    async *serverStream() {
      yield { text: "confidential" };
      yield {};
    },
  });
  await echo.client.unary(
    { text: "confidential" },
    { headers: { [tenantHeader]: "t1", [requestIdHeader]: "r-1" } },
  );
  await drain(echo.client.serverStream({ text: "confidential" }));
  await eventually(() => callLines(echo.logs).length === 2);
  expect(callLines(echo.logs)).toMatchObject([
    {
      level: "debug",
      rpc: "mahavishnu.testing.v1.EchoService/Unary",
      code: "OK",
      tenant: "t1",
      request_id: "r-1",
      peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      duration_ms: expect.any(Number),
    },
    { rpc: "mahavishnu.testing.v1.EchoService/ServerStream", code: "OK", tenant: "default" },
  ]);
  expect(callLines(echo.logs)[1]?.["request_id"]).toMatch(/^[0-9a-f-]{36}$/);
  expect(JSON.stringify(echo.logs)).not.toContain("confidential");
});

describe("calls to peers", () => {
  test("carry tenant and request id", async () => {
    let seen: { tenant: string; requestId: string } | undefined;
    await using last = await startEcho({
      unary: (_request, context) => {
        seen = callContext(context);
        return {};
      },
    });
    let own: string | undefined;
    await using first = await startEcho({
      unary: (_request, context) => {
        own = callContext(context).requestId;
        return last.client.unary({}, outgoing(context));
      },
    });
    await first.client.unary({}, { headers: { [tenantHeader]: "t7", [requestIdHeader]: "r-1" } });
    expect(seen).toMatchObject({ tenant: "t7", requestId: "r-1" });
    await first.client.unary({}, { headers: { [requestIdHeader]: "not an id" } });
    expect(own).toMatch(/^[0-9a-f-]{36}$/);
    expect(seen?.requestId).toBe(own);
    await eventually(() => callLines(first.logs).length === 2 && callLines(last.logs).length === 2);
    for (const { logs } of [first, last]) {
      expect(callLines(logs).map((line) => line["request_id"])).toEqual(["r-1", own]);
    }
  });

  test("of a background worker say for whom they are made", async () => {
    let seen: ReturnType<typeof callContext> | undefined;
    await using echo = await startEcho({
      unary: (_request, context) => {
        seen = callContext(context);
        return {};
      },
    });
    const { signal } = new AbortController();
    const origin = { tenant: "t9", signal, timeoutMs: 5_000, requestId: "job-1" };
    await echo.client.unary({}, outgoing(origin));
    expect(seen).toMatchObject({ tenant: "t9", requestId: "job-1" });
    expect(seen?.deadline).toBeInstanceOf(Date);
  });
});
