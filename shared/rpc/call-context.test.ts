import { createHandlerContext } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { callContext, outgoing } from "./call-context.ts";
import { EchoService } from "./testing/echo.ts";

const context = (requestHeader: Record<string, string> = {}, timeoutMs?: number) =>
  createHandlerContext({
    service: EchoService,
    method: EchoService.method.unary,
    protocolName: "grpc",
    requestMethod: "POST",
    url: "/",
    requestHeader,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });

test("works in tests of handlers, where no call came over the wire", () => {
  const call = callContext(context({ "x-mahavishnu-tenant": "t1" }));
  expect(call).toMatchObject({ tenant: "t1", deadline: undefined });
  expect(call.stopping.aborted).toBe(false);
  expect(callContext(context()).tenant).toBe("default");
  expect(() => callContext(context({ "x-mahavishnu-tenant": "a b" }))).toThrow(/tenant/);
});

test("a call keeps its request id", () => {
  const one = context();
  expect(callContext(one).requestId).toBe(callContext(one).requestId);
});

test("outgoing calls get a share of the remaining time, and at least a moment", () => {
  expect(outgoing(context({}, 1_000), { shareOfDeadline: 0.5 }).timeoutMs).toBeLessThanOrEqual(500);
  expect(outgoing(context({}, 0)).timeoutMs).toBe(1);
  expect(outgoing(context())).not.toHaveProperty("timeoutMs");
  expect(outgoing({ tenant: "t" })).toEqual({ headers: { "x-mahavishnu-tenant": "t" } });
});

test("the caller's trace context passes through a process that records none", () => {
  const headers = { traceparent: "00-11-22-01", tracestate: "a=b" };
  expect(outgoing(context(headers)).headers).toMatchObject(headers);
});
