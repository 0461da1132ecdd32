import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { DependencyUnavailableError, DomainError, InvalidRequestError } from "../errors.ts";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../gen/google/rpc/error_details_pb.js";
import { ErrorReason } from "../gen/mahavishnu/type/v1/error_pb.js";
import { toConnectError } from "./errors.ts";
import { itemError } from "./item-error.ts";
import { domainErrorOf, reasonOf } from "./peer-errors.ts";
import { errorOf, statusOf } from "./status.ts";
import { drain, rejection } from "./testing/conditions.ts";
import { startEcho } from "./testing/echo-server.ts";

const overTheWire = (error: unknown) => errorOf(statusOf(toConnectError(error)));

describe("kinds of domain errors have codes", () => {
  test.each([
    ["invalid_argument", Code.InvalidArgument],
    ["not_found", Code.NotFound],
    ["already_exists", Code.AlreadyExists],
    ["permission_denied", Code.PermissionDenied],
    ["unauthenticated", Code.Unauthenticated],
    ["failed_precondition", Code.FailedPrecondition],
    ["aborted", Code.Aborted],
    ["resource_exhausted", Code.ResourceExhausted],
    ["unavailable", Code.Unavailable],
    ["deadline_exceeded", Code.DeadlineExceeded],
    ["canceled", Code.Canceled],
    ["unimplemented", Code.Unimplemented],
    ["internal", Code.Internal],
  ] as const)("%s", (kind, code) => {
    const error = overTheWire(new DomainError(kind, "CONFLICT", "text"));
    expect([error.code, error.rawMessage, reasonOf(error)]).toEqual([code, "text", "CONFLICT"]);
  });
});

test("details hold reason, facts, violations and delay", () => {
  const error = overTheWire(
    new DomainError("resource_exhausted", "OVERLOADED", "too much", {
      facts: { limit: "5" },
      violations: [{ field: "texts[3]", description: "empty" }],
      retryAfterMs: 1_500,
    }),
  );
  expect(error.findDetails(ErrorInfoSchema)[0]).toMatchObject({
    reason: "OVERLOADED",
    domain: "mahavishnu",
    metadata: { limit: "5" },
  });
  expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([
    { field: "texts[3]", description: "empty" },
  ]);
  expect(error.findDetails(RetryInfoSchema)[0]?.retryDelay).toMatchObject({
    seconds: 1n,
    nanos: 500_000_000,
  });
});

test("a thousand violations still fit into trailers", () => {
  const violations = Array.from({ length: 1_000 }, (_, i) => ({
    field: `documents[${i}].content`,
    description: "must not be empty",
  }));
  const { details, metadata } = statusOf(toConnectError(new InvalidRequestError(violations)));
  const packed = metadata.get("grpc-status-details-bin")[0] as Buffer;
  expect(packed.toString("base64").length + encodeURI(details).length).toBeLessThan(8_192);
  const listed = overTheWire(new InvalidRequestError(violations)).findDetails(BadRequestSchema)[0];
  expect(listed?.fieldViolations.at(-1)?.description).toMatch(/^and \d+ more$/);
});

test("text that no header can carry is mended", async () => {
  await using echo = await startEcho({
    unary: () => {
      throw new DomainError("not_found", "MODEL_NOT_FOUND", `50 % of "ä\ud800\n"`);
    },
  });
  const error = (await rejection(echo.client.unary({}))) as ConnectError;
  expect(error.rawMessage).toBe(`50 % of "ä\ufffd\n"`);
});

describe("what nobody expected", () => {
  test("is INTERNAL, says nothing of itself, and is logged with its stack", async () => {
    await using echo = await startEcho({
      unary: () => {
        throw new Error("password is 1234");
      },
      async *serverStream() {
        yield {};
        throw new TypeError("select * from secrets");
      },
    });
    const error = (await rejection(echo.client.unary({ text: "payload" }))) as ConnectError;
    expect([error.code, error.rawMessage]).toEqual([Code.Internal, "internal error"]);
    expect(reasonOf(error)).toBe("INTERNAL");
    const streamed = await drain(echo.client.serverStream({}));
    expect(streamed.items).toHaveLength(1);
    expect((streamed.error as ConnectError).rawMessage).toBe("internal error");
    const logged = echo.logs.filter((line) => line["level"] === "error");
    expect(logged.map((line) => (line["err"] as { stack: string }).stack)).toEqual([
      expect.stringContaining("password is 1234\n    at "),
      expect.stringContaining("select * from secrets\n    at "),
    ]);
    expect(JSON.stringify(echo.logs)).not.toContain("payload");
  });

  test("names the trace where there is one", () => {
    const error = toConnectError("a string", { traceId: "abc" });
    expect(error.rawMessage).toBe("internal error (trace abc)");
    expect(error.findDetails(ErrorInfoSchema)[0]?.metadata).toEqual({ trace_id: "abc" });
  });
});

describe("aborts", () => {
  const abortedBy = (reason?: unknown) => {
    const controller = new AbortController();
    controller.abort(reason);
    return controller.signal;
  };
  test.each([
    ["a plain abort", abortedBy(), Code.Canceled],
    ["a timeout", abortedBy(new DOMException("late", "TimeoutError")), Code.DeadlineExceeded],
    ["its own reason", abortedBy(new ConnectError("x", Code.Unavailable)), Code.Unavailable],
  ])("after %s whatever is thrown is a consequence", (_name, signal, code) => {
    expect(toConnectError(new Error("statement cancelled"), { signal }).code).toBe(code);
  });

  test("a timeout within the call is DEADLINE_EXCEEDED, somebody else's abort INTERNAL", () => {
    expect(toConnectError(new DOMException("late", "TimeoutError")).code).toBe(
      Code.DeadlineExceeded,
    );
    expect(toConnectError(new DOMException("gone", "AbortError")).code).toBe(Code.Internal);
  });
});

test("an error in mid-stream follows the messages sent before it", async () => {
  await using echo = await startEcho({
    async *bidi(requests) {
      for await (const { count } of requests) {
        if (count === 3) throw new DomainError("not_found", "MODEL_NOT_FOUND", "no model");
        yield { count };
      }
    },
  });
  async function* requests() {
    for (let count = 0; ; count++) yield { count };
  }
  const { items, error } = await drain(echo.client.bidi(requests()));
  expect(items.map((m) => m.count)).toEqual([0, 1, 2]);
  expect(reasonOf(error)).toBe("MODEL_NOT_FOUND");
});

describe("a message over the limit", () => {
  const big = { payload: new Uint8Array(3_000) };
  const check = (error: unknown) => {
    expect((error as ConnectError).code).toBe(Code.ResourceExhausted);
    expect(reasonOf(error)).toBe("MESSAGE_TOO_LARGE");
  };

  test("is refused by the client before it is sent", async () => {
    await using echo = await startEcho({ unary: () => ({}) }, {}, { maxMessageBytes: 2_000 });
    check(await rejection(echo.client.unary(big)));
    async function* requests() {
      yield big;
    }
    check((await drain(echo.client.bidi(requests()))).error);
  });

  test.each([3_000, 30_000])("is refused by the server: %d bytes", async (bytes) => {
    await using echo = await startEcho(
      {
        unary: () => ({}),
        async clientStream(requests) {
          for await (const _ of requests);
          return {};
        },
      },
      { maxMessageBytes: 2_000 },
    );
    const request = { payload: new Uint8Array(bytes) };
    check(await rejection(echo.client.unary(request)));
    async function* requests() {
      yield request;
    }
    check(await rejection(echo.client.clientStream(requests())));
  });

  test("is refused by the server as an answer", async () => {
    let ended = false;
    await using echo = await startEcho(
      {
        unary: () => big,
        async *serverStream() {
          try {
            yield { count: 1 };
            yield big;
          } finally {
            ended = true;
          }
        },
      },
      { maxMessageBytes: 2_000 },
    );
    check(await rejection(echo.client.unary({})));
    const { items, error } = await drain(echo.client.serverStream({}));
    expect(items).toHaveLength(1);
    check(error);
    expect(ended).toBe(true);
  });

  test("is refused by the client as an answer", async () => {
    await using echo = await startEcho({ unary: () => big }, {}, { maxMessageBytes: 2_000 });
    check(await rejection(echo.client.unary({})));
  });
});

describe("a peer's error becomes one of the domain", () => {
  test("with kind, reason, facts, violations and delay", () => {
    const original = new DomainError("failed_precondition", "MODEL_MISMATCH", "other model", {
      facts: { expected: "a", actual: "b" },
      violations: [{ field: "model", description: "differs" }],
      retryAfterMs: 250,
    });
    const error = domainErrorOf(overTheWire(original), "embedding") as DomainError;
    expect(error).toMatchObject({
      kind: "failed_precondition",
      reason: "MODEL_MISMATCH",
      message: "other model",
      facts: { expected: "a", actual: "b" },
      retryAfterMs: 250,
    });
    expect(error.violations).toMatchObject([{ field: "model", description: "differs" }]);
    expect(error.cause).toBeInstanceOf(ConnectError);
  });

  test("that names the peer where it does not answer", () => {
    const error = domainErrorOf(new ConnectError("refused", Code.Unavailable), "embedding");
    expect(error).toBeInstanceOf(DependencyUnavailableError);
    expect(error).toMatchObject({
      facts: { dependency: "embedding" },
      message: "embedding does not answer",
    });
    const inner = overTheWire(new DependencyUnavailableError("ollama", "ollama is down"));
    expect(domainErrorOf(inner, "embedding")).toMatchObject({
      facts: { dependency: "embedding" },
      message: "ollama is down",
    });
  });

  test("with a reason that fits the code where the peer gave none, or one unknown here", () => {
    const plain = domainErrorOf(new ConnectError("late", Code.DeadlineExceeded), "x");
    expect(plain).toMatchObject({ kind: "deadline_exceeded", reason: "DEADLINE_EXCEEDED" });
    const newer = new ConnectError("?", Code.Unknown, undefined, [
      { desc: ErrorInfoSchema, value: { reason: "OF_TOMORROW", domain: "mahavishnu" } },
    ]);
    expect(domainErrorOf(newer, "x")).toMatchObject({ kind: "internal", reason: "INTERNAL" });
  });

  test("unless it is a cancellation or no error of a call", () => {
    const canceled = new ConnectError("gone", Code.Canceled);
    const bug = new TypeError("bug");
    expect(domainErrorOf(canceled, "x")).toBe(canceled);
    expect(domainErrorOf(bug, "x")).toBe(bug);
  });
});

describe("an item of a batch fails", () => {
  test("by the same rules as a call", () => {
    expect(itemError(new DomainError("not_found", "MODEL_NOT_FOUND", "none"), "model")).toEqual({
      code: Code.NotFound,
      reason: ErrorReason.MODEL_NOT_FOUND,
      message: "none",
      field: "model",
    });
    const invalid = new InvalidRequestError([{ field: "a.b", description: "bad" }]);
    expect(itemError(invalid)).toMatchObject({
      reason: ErrorReason.INVALID_FIELD,
      field: "a.b",
    });
  });

  test("unexpectedly: INTERNAL for the caller, the error itself for the log", () => {
    const seen: unknown[] = [];
    const bug = new Error("secret");
    const item = itemError(bug, undefined, { onUnexpected: (error) => seen.push(error) });
    expect(item).toEqual({
      code: Code.Internal,
      reason: ErrorReason.INTERNAL,
      message: "internal error",
      field: "",
    });
    expect(seen).toEqual([bug]);
  });

  test("with a peer's plain status", () => {
    expect(itemError(new ConnectError("x", Code.Unavailable))).toMatchObject({
      code: Code.Unavailable,
      reason: ErrorReason.UNSPECIFIED,
    });
  });
});

test("details that cannot be read do not hide code and text", () => {
  const status = statusOf(toConnectError(new DomainError("aborted", "CONFLICT", "again")));
  status.metadata.set("grpc-status-details-bin", Buffer.from([255, 255, 255]));
  const error = errorOf(status);
  expect([error.code, error.rawMessage, error.details]).toEqual([Code.Aborted, "again", []]);
  expect(errorOf({ ...status, code: 99 as never }).code).toBe(Code.Unknown);
});

test("reasons of domain errors and of foreign ones", () => {
  expect(reasonOf(new DomainError("aborted", "CONFLICT", "x"))).toBe("CONFLICT");
  expect(reasonOf(new Error("x"))).toBeUndefined();
  const foreign = new ConnectError("x", Code.Aborted, undefined, [
    { desc: ErrorInfoSchema, value: { reason: "THEIRS", domain: "elsewhere.example" } },
  ]);
  expect(reasonOf(foreign)).toBeUndefined();
});
