import { Metadata } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { headerOf, headersOf, metadataValue } from "./metadata.ts";

test.each([
  ["one value", ["a"]],
  ["several", ["a", "b"]],
  ["an empty one", [""]],
  ["blanks around it", [" a b "]],
  ["none", []],
])("a single header is what it is among all: %s", (_, values) => {
  const metadata = new Metadata();
  for (const value of values) metadata.add("x-key", value);
  expect(metadataValue(metadata, "x-key")).toBe(headersOf(metadata).get("x-key"));
});

test("a request that came over no wire is asked for its headers", () => {
  const header = new Headers({ "x-key": "a" });
  expect(headerOf({ header }, "x-key")).toBe("a");
  expect(headerOf({ header }, "x-other")).toBeNull();
  expect(headerOf({ header, headerValue: () => "b" }, "x-key")).toBe("b");
  expect(metadataValue(undefined, "x-key")).toBeNull();
});
