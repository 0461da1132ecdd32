import { dirname, join, relative, resolve, sep } from "node:path";
import { IgnoreRules, readIgnoreFile } from "./ignore-rules.ts";
import { readRegularFile } from "./regular-file.ts";

const maxRefBytes = 64 * 1024;
const maxPackedRefsBytes = 32 * 1024 * 1024;

/** What git knows of a folder. */
export interface Checkout {
  /** The commit that is checked out, in hex; undefined before the first one. */
  readonly commit: string | undefined;
  /** What the checkout says above the folder, and in its info/exclude. */
  readonly rules: IgnoreRules;
}

/**
 * Reads the checkout that a folder belongs to, without running git. Undefined where it is none.
 * Worktrees and submodules, whose `.git` is a file, are followed.
 */
export function readCheckout(folder: string): Checkout | undefined {
  for (let top = folder; ; top = dirname(top)) {
    const gitFolder = gitFolderOf(top);
    if (gitFolder !== undefined) {
      return {
        commit: readCommit(gitFolder),
        rules: rulesAbove(top, folder, gitFolder),
      };
    }
    if (dirname(top) === top) return undefined;
  }
}

function gitFolderOf(top: string): string | undefined {
  const path = join(top, ".git");
  if (read(join(path, "HEAD")) !== undefined) return path;
  const pointer = read(path)?.match(/^gitdir: (.+)$/m)?.[1];
  return pointer === undefined ? undefined : resolve(top, pointer.trim());
}

function readCommit(gitFolder: string): string | undefined {
  let head = read(join(gitFolder, "HEAD"))?.trim();
  const common = read(join(gitFolder, "commondir"))?.trim();
  const refFolders = common === undefined ? [gitFolder] : [gitFolder, resolve(gitFolder, common)];
  // A symbolic ref names another, which may be symbolic too; git stops at five.
  for (let depth = 0; depth < 5 && head !== undefined; depth++) {
    if (isCommit(head)) return head;
    const name = head.match(/^ref: (refs\/[^\0]+)$/)?.[1];
    if (name === undefined || name.split("/").includes("..")) return undefined;
    head = readRef(refFolders, name);
  }
  return undefined;
}

function readRef(folders: readonly string[], name: string): string | undefined {
  for (const folder of folders) {
    const loose = read(join(folder, name))?.trim();
    if (loose !== undefined) return loose;
    const packed = read(join(folder, "packed-refs"), maxPackedRefsBytes);
    const line = packed?.split("\n").find((one) => one.endsWith(` ${name}`));
    if (line !== undefined) return line.split(" ", 1)[0];
  }
  return undefined;
}

function isCommit(text: string): boolean {
  return /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/** A folder within a checkout obeys the ignore files above it, rewritten to begin at the folder. */
function rulesAbove(top: string, folder: string, gitFolder: string): IgnoreRules {
  let rules = IgnoreRules.none.with("", readIgnoreFile(join(gitFolder, "info", "exclude")));
  if (top === folder) return rules;
  const steps = relative(top, folder).split(sep);
  for (let depth = 0; depth < steps.length; depth++) {
    rules = rules.within(top, steps.slice(0, depth).join("/"));
  }
  return rules.below(steps.join("/"));
}

function read(path: string, maxBytes = maxRefBytes): string | undefined {
  try {
    return readRegularFile(path, maxBytes).bytes.toString("utf8");
  } catch {
    return undefined;
  }
}
