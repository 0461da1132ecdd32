import { execFile, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestPlatform, type TestPlatform } from "../harness/platform.ts";

const root = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);

/** A Python with grpcio and grpcio-tools; the gate makes one. */
const python = process.env["MAHAVISHNU_TEST_PYTHON"];
/** Go fetches modules and compiles for a minute, so it runs where it is asked for. */
const go = process.env["MAHAVISHNU_TEST_GO"];

if (python === undefined) console.warn("skipped: interop with Python (set MAHAVISHNU_TEST_PYTHON)");
if (go === undefined) console.warn("skipped: interop with Go (set MAHAVISHNU_TEST_GO)");

describe.skipIf(python === undefined && go === undefined)("callers in other languages", () => {
  let running: TestPlatform;
  let dir: string;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "mahavishnu-interop-"));
    running = await startTestPlatform();
  }, 90_000);
  afterAll(async () => {
    await running?.[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });

  it.skipIf(python === undefined)(
    "Python stores, streams, finds and reads errors",
    async () => {
      const out = join(dir, "python");
      mkdirSync(out);
      const protos = spawnSync("find", ["mahavishnu", "-name", "*.proto"], {
        cwd: join(root, "proto"),
        encoding: "utf8",
      }).stdout.trim();
      await run(
        String(python),
        [
          "-m",
          "grpc_tools.protoc",
          "-I",
          "proto",
          `--python_out=${out}`,
          `--grpc_python_out=${out}`,
        ].concat(protos.split("\n")),
        { cwd: root },
      );
      const script = join(root, "test/interop/python/client.py");
      const { stdout } = await run(String(python), [script, running.platform.address("memory")], {
        env: { ...process.env, PYTHONPATH: out },
      });
      const answer = JSON.parse(stdout);
      expect(answer).toMatchObject({
        found: [answer.id],
        bulk: [1, 2, 3, 4, 5],
        missing: "NOT_FOUND",
      });
    },
    60_000,
  );

  it.skipIf(go === undefined)(
    "Go stores, finds and reads errors",
    async () => {
      const module = join(dir, "go");
      const bin = join(dir, "bin");
      cpSync(join(root, "test/interop/go"), module, { recursive: true });
      writeFileSync(join(module, "go.mod"), "module interop\n\ngo 1.24\n");
      writeFileSync(
        join(dir, "buf.gen.yaml"),
        [
          "version: v2",
          "managed: {enabled: true, override: [{file_option: go_package_prefix, value: interop/gen}]}",
          "plugins:",
          `  - {local: ${bin}/protoc-gen-go, out: ${module}/gen, opt: paths=source_relative}`,
          `  - {local: ${bin}/protoc-gen-go-grpc, out: ${module}/gen, opt: paths=source_relative}`,
        ].join("\n"),
      );
      const env = { ...process.env, GOBIN: bin, GOFLAGS: "-mod=mod" };
      await run("go", ["install", "google.golang.org/protobuf/cmd/protoc-gen-go@latest"], { env });
      await run("go", ["install", "google.golang.org/grpc/cmd/protoc-gen-go-grpc@latest"], { env });
      const template = join(dir, "buf.gen.yaml");
      await run(join(root, "node_modules/.bin/buf"), ["generate", "--template", template], {
        cwd: root,
      });
      await run("go", ["mod", "tidy"], { cwd: module, env });
      const { stdout } = await run("go", ["run", ".", running.platform.address("memory")], {
        cwd: module,
        env,
      });
      const answer = JSON.parse(stdout);
      expect(answer).toMatchObject({ missing: "NotFound" });
      expect(answer.found[0]).toBe(answer.id);
    },
    400_000,
  );
});
