import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { serviceEntries } from "../../deploy/local/services.ts";
import { startTestPlatform, type TestPlatform } from "../harness/platform.ts";
import { StockClient } from "../harness/stock-client.ts";

const readme = readFileSync(resolve(import.meta.dirname, "../../README.md"), "utf8");
let running: TestPlatform;

beforeAll(async () => {
  running = await startTestPlatform();
}, 90_000);
afterAll(() => running?.[Symbol.asyncDispose]());

/** The two columns of the README's feature table for one service. */
function promised(service: string): { served: string[]; notServed: string[] } {
  const cells = readme
    .split("\n")
    .find((line) => line.startsWith(`| ${service} |`))
    ?.split("|");
  const names = (cell = "") =>
    cell
      .split(",")
      .map((name) => name.trim())
      .filter(Boolean);
  return { served: names(cells?.[2]), notServed: names(cells?.[3]) };
}

const unimplemented = 12;

it.each(serviceEntries)("the README tells which RPCs of $name are served", async (entry) => {
  using client = new StockClient(running.platform.address(entry.name), entry.service);
  const { served, notServed } = promised(entry.service.split(".").at(-1) ?? "");
  expect([...served, ...notServed].sort()).toEqual(client.methodNames.sort());
  for (const method of client.methodNames) {
    const code = await client.codeOfEmptyCall(method);
    expect(code === unimplemented, `${method} answered ${code}`).toBe(notServed.includes(method));
  }
});
