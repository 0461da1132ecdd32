import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

let root: string;
const log = () => join(root, "npm.log");

/** Takes a moment, as the real one does, and tells when it began and ended. */
const npm = `
  const { appendFileSync, mkdirSync, writeFileSync } = require("node:fs");
  const note = (what) => appendFileSync("npm.log", what + "\\n");
  note("begin");
  setTimeout(() => {
    mkdirSync("node_modules", { recursive: true });
    writeFileSync("node_modules/.package-lock.json", "{}");
    note("end");
  }, 500);
`;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "mahavishnu-install-"));
  await mkdir(join(root, "deploy", "local"), { recursive: true });
  await copyFile(
    join(import.meta.dirname, "install.mjs"),
    join(root, "deploy", "local", "install.mjs"),
  );
  await writeFile(join(root, "package-lock.json"), "{}");
  await writeFile(join(root, "npm.cjs"), npm);
});

afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function install(): Promise<{ readonly code: number; readonly output: string }> {
  const child = spawn(process.execPath, [join(root, "deploy", "local", "install.mjs")], {
    env: { ...process.env, npm_execpath: join(root, "npm.cjs") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (part) => {
      output += part;
    });
  }
  const [code] = await once(child, "close");
  return { code, output };
}

test("of commands that come at once one installs, and the others wait for it", async () => {
  const all = await Promise.all([install(), install(), install()]);
  expect(all.map(({ code }) => code)).toEqual([0, 0, 0]);
  expect(await readFile(log(), "utf8")).toBe("begin\nend\n");
  const told = all.map(({ output }) => output);
  expect(told.filter((output) => output.includes("Installing packages"))).toHaveLength(1);
  expect(told.filter((output) => output.includes("Waiting for another command"))).toHaveLength(2);
  expect((await install()).output).toBe("");
});

test("one that was cut off is no obstacle", async () => {
  // A process id that no system gives.
  await writeFile(join(root, ".installing"), "2147483647");
  expect((await install()).code).toBe(0);
  expect(await readFile(log(), "utf8")).toBe("begin\nend\n");
});

test("a failure is told, and the next command tries again", async () => {
  await writeFile(join(root, "npm.cjs"), "process.exit(7)");
  const failed = await install();
  expect(failed.code).toBe(7);
  expect(failed.output).toContain("npm ci failed");
  await writeFile(join(root, "npm.cjs"), npm);
  expect((await install()).code).toBe(0);
});
