import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type AllowedRoots, resolveAllowedPath } from "./allowed-path.ts";

const resolveFolder = (path: string, roots: AllowedRoots) =>
  resolveAllowedPath(path, roots, "folder");

let top: string;

beforeEach(async () => {
  top = await realpath(await mkdtemp(join(tmpdir(), "mahavishnu-path-")));
  await mkdir(join(top, "allowed", "repo"), { recursive: true });
  await mkdir(join(top, "allowed-not"));
  await mkdir(join(top, "other"));
  await writeFile(join(top, "allowed", "file.md"), "x");
  await symlink(join(top, "other"), join(top, "allowed", "way-out"));
  await symlink(join(top, "allowed", "repo"), join(top, "way-in"));
});
afterEach(() => rm(top, { recursive: true, force: true }));

describe("resolveAllowedPath", () => {
  it("resolves a folder to its real path", async () => {
    expect(await resolveFolder(join(top, "way-in"), undefined)).toBe(join(top, "allowed/repo"));
    expect(await resolveFolder(join(top, "way-in"), [join(top, "allowed")])).toBe(
      join(top, "allowed/repo"),
    );
    expect(await resolveFolder(`${top}/allowed/`, [join(top, "allowed")])).toBe(
      join(top, "allowed"),
    );
  });

  it.each([
    ["a relative path", "allowed/repo", undefined, "invalid_argument"],
    ["a file", "/allowed/file.md", undefined, "invalid_argument"],
    ["a path through a file", "/allowed/file.md/x", undefined, "invalid_argument"],
    ["what is not there", "/nothing", undefined, "not_found"],
    ["what is not there, in a root", "/allowed/nothing", "allowed", "not_found"],
    ["another folder", "/other", "allowed", "permission_denied"],
    ["a folder whose name begins as the root's", "/allowed-not", "allowed", "permission_denied"],
    ["dots that lead out", "/allowed/../other", "allowed", "permission_denied"],
    ["a link that leads out", "/allowed/way-out", "allowed", "permission_denied"],
    ["what is not there outside", "/nothing", "allowed", "permission_denied"],
    ["a folder below a root that is gone", "/other", "gone", "permission_denied"],
  ])("refuses %s", async (_, path, root, kind) => {
    const full = path.startsWith("/") ? `${top}${path}` : path;
    const roots = root === undefined ? undefined : [join(top, root)];
    await expect(resolveFolder(full, roots)).rejects.toMatchObject({
      kind,
      reason: "PATH_REFUSED",
      facts: { path: full },
    });
  });

  it("refuses a path that no system takes", async () => {
    for (const path of ["/a\0b", `/${"x".repeat(5_000)}`]) {
      await expect(resolveFolder(path, undefined)).rejects.toMatchObject({
        kind: "invalid_argument",
      });
    }
  });

  it("takes files where files are asked for", async () => {
    const file = join(top, "allowed", "file.md");
    expect(await resolveAllowedPath(file, [join(top, "allowed")], "file")).toBe(file);
    await expect(resolveAllowedPath(top, undefined, "file")).rejects.toMatchObject({
      kind: "invalid_argument",
    });
  });
});
