import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readCheckout } from "../../shared/files/git-checkout.ts";
import { readSourceFile } from "./file-text.ts";
import { isOutsidePatterns, type WalkOptions, walkRepository } from "./repository-walk.ts";

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "mahavishnu-walk-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function plant(files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
}

async function walk(options: Partial<WalkOptions> = {}, folder = root) {
  const files: string[] = [];
  const skipped: Record<string, string> = {};
  const failed: string[] = [];
  const all = { include: [], exclude: [], maxFileBytes: 1_000, ...options };
  for (const event of walkRepository(folder, all)) {
    if (event.kind === "file") files.push(event.path);
    else if (event.kind === "skipped") skipped[event.path] = event.reason;
    else failed.push(event.path);
  }
  return { files, skipped, failed };
}

describe("walkRepository", () => {
  it("finds known types in a stable order and says why it passes over the rest", async () => {
    await plant({
      "b.ts": "x",
      "a/z.py": "x",
      "a/b.md": "x",
      Dockerfile: "x",
      "photo.jpeg": "x",
      "empty.md": "",
      "big.txt": "x".repeat(1_001),
      "node_modules/m/index.js": "x",
      ".git/config.txt": "x",
      "dist/out.js": "x",
      "package-lock.json": "{}",
      "app.min.js": "x",
      "api_pb2.py": "x",
    });
    expect(await walk()).toEqual({
      files: ["Dockerfile", "a/b.md", "a/z.py", "b.ts"],
      skipped: {
        ".git": "excluded",
        "api_pb2.py": "generated",
        "app.min.js": "generated",
        "big.txt": "too_large",
        dist: "excluded",
        "empty.md": "empty",
        node_modules: "excluded",
        "package-lock.json": "generated",
        "photo.jpeg": "file_type",
      },
      failed: [],
    });
  });

  it("obeys .mahavishnuignore beside .gitignore, which it may overrule", async () => {
    await plant({
      ".gitignore": "*.txt\n",
      ".mahavishnuignore": "drafts/\n!keep.txt\n",
      "a.md": "x",
      "a.txt": "x",
      "keep.txt": "x",
      "drafts/b.md": "x",
      "src/.mahavishnuignore": "*.md",
      "src/c.md": "x",
      "src/c.ts": "x",
    });
    const { files, skipped } = await walk();
    expect(files).toEqual(["a.md", "keep.txt", "src/c.ts"]);
    expect(skipped).toMatchObject({
      "a.txt": "ignored",
      drafts: "ignored",
      "src/c.md": "ignored",
    });
  });

  it("obeys nested .gitignore files as git does", async () => {
    const files = [
      "keep.md",
      "debug.txt",
      "logs/a.txt",
      "logs/keep.txt",
      "src/debug.txt",
      "src/deep/debug.txt",
      "src/deep/only-here.md",
      "only-here.md",
      "doc/a.md",
      "doc/sub/a.md",
      "sub/doc/a.md",
      "cached/x.md",
    ];
    await plant(Object.fromEntries(files.map((path) => [path, "x"])));
    await plant({
      ".gitignore": "debug.txt\nlogs/\n!logs/keep.txt\n/doc/*.md\ncach?d\n",
      "src/.gitignore": "!debug.txt\n",
      "src/deep/.gitignore": "debug.txt\n/only-here.md\n",
    });
    const ours = (await walk()).files;
    expect(ours).toEqual([
      "doc/sub/a.md",
      "keep.md",
      "only-here.md",
      "src/debug.txt",
      "sub/doc/a.md",
    ]);
    const git = gitFiles();
    if (git !== undefined) expect(ours).toEqual(git);
  });

  it("obeys the checkout above the folder", async () => {
    await plant({
      ".git/HEAD": "ref: refs/heads/main\n",
      ".git/packed-refs": `# pack-refs\n${"a".repeat(40)} refs/heads/main\n`,
      ".git/info/exclude": "private.md\n",
      ".gitignore": "*.tmp.md\n/sub/gone.md\n",
      "sub/keep.md": "x",
      "sub/gone.md": "x",
      "sub/deep/a.tmp.md": "x",
      "sub/private.md": "x",
    });
    const checkout = readCheckout(join(root, "sub"));
    expect(checkout?.commit).toBe("a".repeat(40));
    const rules = checkout?.rules;
    expect(rules).toBeDefined();
    expect((await walk(rules === undefined ? {} : { rules }, join(root, "sub"))).files).toEqual([
      "keep.md",
    ]);
  });

  it("keeps secrets out, whatever the caller includes", async () => {
    const secrets = [
      ".env",
      ".env.production",
      "app.env",
      "server.pem",
      "tls.key",
      "id_rsa",
      "id_ed25519",
      ".npmrc",
      ".netrc",
      "credentials.json",
      "client_secret.json",
      "token.txt",
      "service-account.json",
      "secrets.yaml",
      "terraform.tfstate",
    ];
    await plant(Object.fromEntries(secrets.map((name) => [name, "x"])));
    await plant({ ".ssh/config.txt": "x", "tokens.ts": "x", ".env.example": "x" });
    const { files, skipped } = await walk({ include: ["*"] });
    expect(files).toEqual([".env.example", "tokens.ts"]);
    expect(skipped).toEqual(
      Object.fromEntries([...secrets, ".ssh"].map((name) => [name, "secret"])),
    );
  });

  it("takes the caller's patterns in the syntax of .gitignore", async () => {
    await plant({ "a.md": "x", "b.ts": "x", "src/c.ts": "x", "src/d.xyz": "x", "gen/e.ts": "x" });
    const patterns = { include: ["*.ts", "src/"], exclude: ["/gen/", "b.*"] };
    expect(await walk(patterns)).toMatchObject({
      files: ["src/c.ts", "src/d.xyz"],
      skipped: { "a.md": "not_included", "b.ts": "excluded", gen: "excluded" },
    });
    const outside = isOutsidePatterns(patterns);
    expect(["a.md", "b.ts", "gen/e.ts", "src/c.ts"].filter(outside)).toEqual([
      "a.md",
      "b.ts",
      "gen/e.ts",
    ]);
  });

  it("follows no symbolic link, and neither waits for FIFOs nor reads huge files", async () => {
    await plant({ "a.md": "x", "huge.md": "" });
    await truncate(join(root, "huge.md"), 2 ** 40);
    await symlink(root, join(root, "loop"));
    await symlink("/etc", join(root, "outside"));
    await symlink("a.md", join(root, "alias.md"));
    execFileSync("mkfifo", [join(root, "pipe.md"), join(root, ".gitignore")]);
    expect(await walk()).toEqual({
      files: ["a.md"],
      skipped: {
        ".gitignore": "special",
        "alias.md": "symlink",
        "huge.md": "too_large",
        loop: "symlink",
        outside: "symlink",
        "pipe.md": "special",
      },
      failed: [],
    });
  });

  it("goes neither out of the folder nor in a circle by links", async () => {
    await plant({ "a/b.md": "x", "c.md": "x" });
    const outside = await mkdtemp(join(tmpdir(), "mahavishnu-outside-"));
    try {
      await writeFile(join(outside, "secret.md"), "x");
      await symlink(outside, join(root, "out"));
      await symlink(join(outside, "secret.md"), join(root, "out.md"));
      await symlink("../a", join(root, "a", "self"));
      await symlink("two", join(root, "one"));
      await symlink("one", join(root, "two"));
      await symlink("nowhere.md", join(root, "broken.md"));
      const links = ["a/self", "broken.md", "one", "out", "out.md", "two"];
      expect(await walk({ include: ["*"] })).toEqual({
        files: ["a/b.md", "c.md"],
        skipped: Object.fromEntries(links.map((name) => [name, "symlink"])),
        failed: [],
      });
    } finally {
      await rm(outside, { recursive: true });
    }
  });

  it("reads no socket, and no device where one can be made", async () => {
    await plant({ "a.md": "x" });
    const server = createServer().listen(join(root, "socket.md"));
    await once(server, "listening");
    const special = ["socket.md"];
    for (const [name, kind] of [
      ["zero.md", "c"],
      ["disk.md", "b"],
    ] as const) {
      // The machine's superuser alone may, and not in every container.
      const made = spawnSync("mknod", [join(root, name), kind, "1", "5"]);
      if (made.status === 0) special.push(name);
    }
    try {
      expect(await walk({ include: ["*"] })).toEqual({
        files: ["a.md"],
        skipped: Object.fromEntries(special.map((name) => [name, "special"])),
        failed: [],
      });
      for (const name of special) {
        expect(() => readSourceFile(root, name, 100)).toThrow(
          name === "socket.md" ? /ENXIO/ : /regular file|ENXIO|EACCES|EPERM/,
        );
      }
    } finally {
      server.close();
      await once(server, "close");
    }
  });

  it.skipIf(process.getuid?.() === 0)("reports a folder it may not read and goes on", async () => {
    await plant({ "a.md": "x", "shut/b.md": "x", "z.md": "x" });
    await chmod(join(root, "shut"), 0);
    try {
      expect(await walk()).toEqual({ files: ["a.md", "z.md"], skipped: {}, failed: ["shut"] });
    } finally {
      await chmod(join(root, "shut"), 0o700);
    }
  });
});

/** What git itself would track; undefined where there is no git. */
function gitFiles(): string[] | undefined {
  try {
    const git = (...args: string[]) => execFileSync("git", args, { cwd: root, encoding: "utf8" });
    git("init", "-q");
    return git("ls-files", "--others", "--exclude-standard")
      .split("\n")
      .filter((path) => path !== "" && !path.endsWith(".gitignore"))
      .sort((a, b) => (a < b ? -1 : 1));
  } catch {
    return undefined;
  }
}
