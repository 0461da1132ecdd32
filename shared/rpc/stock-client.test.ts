import {
  type Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer } from "@grpc/proto-loader";
import { loadSync } from "google-proto-files";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DomainError } from "../errors.ts";
import { eventually } from "./testing/conditions.ts";
import { echoDescriptors } from "./testing/echo.ts";
import { type EchoHarness, startEcho } from "./testing/echo-server.ts";

// Nothing of ours on the client's side: grpc-js with proto-loader, details decoded by google-proto-files.

interface StockEcho extends Client {
  Unary(
    request: object,
    metadata: Metadata,
    callback: (error: ServiceError | null, reply?: Record<string, unknown>) => void,
  ): { on(event: "metadata" | "status", listener: (value: never) => void): void };
  Bidi(): StockStream;
}
interface StockStream {
  on(event: string, listener: (value: never) => void): this;
  write(message: object): boolean;
  end(): void;
}

let echo: EchoHarness;
let client: StockEcho;
const served: string[] = [];

beforeAll(async () => {
  echo = await startEcho({
    unary({ text }, context) {
      if (text === "fail") {
        throw new DomainError("failed_precondition", "MODEL_MISMATCH", "the model is ä different", {
          facts: { expected: "a", actual: "b" },
          violations: [{ field: "texts[0]", description: "is empty" }],
          retryAfterMs: 2_500,
        });
      }
      const data = context.requestHeader.get("x-data-bin") ?? "";
      context.responseHeader.set("x-head-bin", data);
      context.responseTrailer.set("x-tail", "t");
      return { text: `${text}!`, payload: Buffer.from(data, "base64") };
    },
    async *bidi(requests) {
      try {
        for await (const { count, text } of requests) {
          if (text === "fail") throw new DomainError("not_found", "MODEL_NOT_FOUND", "none");
          yield { count: count + 1 };
        }
        yield { text: "seen the end" };
        served.push("whole");
      } catch (error) {
        served.push("broken");
        throw error;
      }
    },
  });
  const definition = loadFileDescriptorSetFromBuffer(echoDescriptors, { defaults: true });
  const loaded = loadPackageDefinition(definition) as never as {
    mahavishnu: {
      testing: { v1: { EchoService: new (address: string, credentials: object) => StockEcho } };
    };
  };
  const { EchoService } = loaded.mahavishnu.testing.v1;
  client = new EchoService(echo.server.address, credentials.createInsecure());
});

afterAll(async () => {
  client.close();
  await echo[Symbol.asyncDispose]();
});

function detailsOf(error: ServiceError): Record<string, unknown> {
  const root = loadSync(["google/rpc/status.proto", "google/rpc/error_details.proto"] as never);
  const packed = error.metadata.get("grpc-status-details-bin")[0] as Buffer;
  const rich = root.lookupType("google.rpc.Status").decode(packed) as never as {
    code: number;
    message: string;
    details: { type_url: string; value: Uint8Array }[];
  };
  return Object.fromEntries([
    ["code", rich.code],
    ["message", rich.message],
    ...rich.details.map(({ type_url, value }) => {
      const name = type_url.replace("type.googleapis.com/", "");
      const type = root.lookupType(name);
      return [name, type.toObject(type.decode(value), { longs: Number })];
    }),
  ]);
}

describe("a stock client", () => {
  test("calls, with metadata both ways", async () => {
    const metadata = new Metadata();
    metadata.set("x-data-bin", Buffer.from([1, 2, 255]));
    const events: Record<string, Metadata> = {};
    const reply = await new Promise<Record<string, unknown>>((resolve, reject) => {
      const call = client.Unary({ text: "a" }, metadata, (error, value) =>
        error === null ? resolve(value ?? {}) : reject(error),
      );
      call.on("metadata", (value: Metadata) => {
        events["head"] = value;
      });
      call.on("status", (value: { metadata: Metadata }) => {
        events["tail"] = value.metadata;
      });
    });
    expect(reply).toMatchObject({ text: "a!", payload: Buffer.from([1, 2, 255]) });
    expect(events["head"]?.get("x-head-bin")).toEqual([Buffer.from([1, 2, 255])]);
    await eventually(() => events["tail"] !== undefined);
    expect(events["tail"]?.get("x-tail")).toEqual(["t"]);
  });

  test("reads rich errors", async () => {
    const error = await new Promise<ServiceError | null>((resolve) => {
      client.Unary({ text: "fail" }, new Metadata(), resolve);
    });
    if (error === null) throw new Error("did not fail");
    expect([error.code, error.details]).toEqual([
      status.FAILED_PRECONDITION,
      "the model is ä different",
    ]);
    expect(detailsOf(error)).toEqual({
      code: status.FAILED_PRECONDITION,
      message: "the model is ä different",
      "google.rpc.ErrorInfo": {
        reason: "MODEL_MISMATCH",
        domain: "mahavishnu",
        metadata: { expected: "a", actual: "b" },
      },
      "google.rpc.BadRequest": {
        fieldViolations: [{ field: "texts[0]", description: "is empty" }],
      },
      "google.rpc.RetryInfo": { retryDelay: { seconds: 2, nanos: 500_000_000 } },
    });
  });

  test("streams both ways, half-closes, and gets the rest", async () => {
    const replies = await new Promise<unknown[]>((resolve, reject) => {
      const seen: unknown[] = [];
      const call = client.Bidi();
      call.on("data", (reply: { count: number; text: string }) => {
        seen.push(reply.text || reply.count);
      });
      call.on("error", reject);
      call.on("end", () => resolve(seen));
      for (let count = 0; count < 50; count++) call.write({ count });
      call.end();
    });
    expect(replies).toEqual([...Array.from({ length: 50 }, (_, i) => i + 1), "seen the end"]);
    expect(served.pop()).toBe("whole");
  });

  test("gets the messages before an error, and its details", async () => {
    const { seen, error } = await new Promise<{ seen: number[]; error: ServiceError }>(
      (resolve) => {
        const seen: number[] = [];
        const call = client.Bidi();
        call.on("data", (reply: { count: number }) => {
          seen.push(reply.count);
          if (seen.length === 3) call.write({ text: "fail" });
        });
        call.on("error", (error: ServiceError) => resolve({ seen, error }));
        for (let count = 0; count < 3; count++) call.write({ count });
      },
    );
    expect(seen).toEqual([1, 2, 3]);
    expect(error.code).toBe(status.NOT_FOUND);
    expect(detailsOf(error)["google.rpc.ErrorInfo"]).toMatchObject({ reason: "MODEL_NOT_FOUND" });
    expect(served.pop()).toBe("broken");
  });

  test.each(Array.from({ length: 5 }, (_, i) => i))(
    "that cancels an upload does not seem to have ended it (%d)",
    async () => {
      const call = client.Bidi();
      call.on("error", () => {});
      await new Promise((resolve) => {
        call.on("data", resolve);
        call.write({ count: 1 });
      });
      (call as StockStream & { cancel(): void }).cancel();
      await eventually(() => served.length === 1);
      expect(served.pop()).toBe("broken");
    },
  );
});
