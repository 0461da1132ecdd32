import { type BigIntStats, type Dirent, lstatSync, readdirSync } from "node:fs";
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { IgnoreRules, patternMatcher } from "../../shared/files/ignore-rules.ts";
import {
  isExcludedFolder,
  isGeneratedName,
  isSecretFile,
  isSecretFolder,
  type SkipReason,
} from "./exclusions.ts";
import { languageOf } from "./languages.ts";

/** Enough of a file's inode to see, without reading, that nobody wrote to it. */
export interface FileStamp {
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  /** As a signed number of 64 bits. */
  readonly inode: bigint;
}

export type WalkEvent =
  | { readonly kind: "file"; readonly path: string; readonly stamp: FileStamp }
  | { readonly kind: "skipped"; readonly path: string; readonly reason: SkipReason }
  /** A file or folder that cannot be looked at. What is known of it, and below it, still holds. */
  | { readonly kind: "failed"; readonly path: string; readonly error: unknown };

export interface WalkOptions {
  /** Rules from above the folder, such as those of the checkout it belongs to. */
  readonly rules?: IgnoreRules;
  /** Only files that match one of these. Empty: files of known types. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly maxFileBytes: number;
}

/**
 * Walks a folder and tells of every file once: to be read, passed over and why, or failed. Paths
 * are relative to the folder, with slashes, and in the order of `comparePaths`. Symbolic links are
 * never followed, so that nothing outside the folder is read and no file twice. It holds up its
 * thread: for threads that read folders.
 */
export function* walkRepository(folder: string, options: WalkOptions): Generator<WalkEvent> {
  const judge = new Judge(options);
  const pending = listFolder(folder, "", options.rules ?? IgnoreRules.none);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { path, entry, rules } = next;
    if (entry.isDirectory()) {
      const reason = judge.folder(path, rules);
      if (reason !== undefined) {
        yield { kind: "skipped", path, reason };
        continue;
      }
      try {
        for (const child of listFolder(folder, path, rules)) pending.push(child);
      } catch (error) {
        yield { kind: "failed", path, error };
      }
      continue;
    }
    const reason = judge.file(path, entry, rules);
    yield reason === undefined
      ? examine(folder, path, options.maxFileBytes)
      : { kind: "skipped", path, reason };
  }
}

interface Pending {
  readonly path: string;
  readonly entry: Dirent;
  readonly rules: IgnoreRules;
}

/** Last first: the walk takes from the end. */
function listFolder(top: string, folder: string, above: IgnoreRules): Pending[] {
  const entries = readdirSync(join(top, folder), { withFileTypes: true });
  const rules = above.within(top, folder, new Set(entries.map(({ name }) => name)));
  // With a folder's slash, names are in the order of the paths below them.
  const key = (entry: Dirent) => (entry.isDirectory() ? `${entry.name}/` : entry.name);
  return entries
    .map((entry) => ({ entry, key: key(entry) }))
    .sort((a, b) => comparePaths(b.key, a.key))
    .map(({ entry }) => ({
      path: folder === "" ? entry.name : `${folder}/${entry.name}`,
      entry,
      rules,
    }));
}

/** The order of the paths' bytes in UTF-8, as a database with collation "C" has it. */
export function comparePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const [unitA, unitB] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (unitA !== unitB) return byteOrder(unitA) - byteOrder(unitB);
  }
  return a.length - b.length;
}

/** Surrogates stand for what comes after all other UTF-16 units. */
function byteOrder(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/** Decides by name and kind, before a file is touched. */
class Judge {
  readonly #included: ((path: string) => boolean) | undefined;
  readonly #excluded: (path: string) => boolean;

  constructor({ include, exclude }: Pick<WalkOptions, "include" | "exclude">) {
    this.#included = include.length === 0 ? undefined : patternMatcher(include);
    this.#excluded = patternMatcher(exclude);
  }

  folder(path: string, rules: IgnoreRules): SkipReason | undefined {
    if (isSecretFolder(path)) return "secret";
    if (isExcludedFolder(path) || this.#excluded(`${path}/`)) return "excluded";
    return rules.ignores(`${path}/`) ? "ignored" : undefined;
  }

  file(path: string, entry: Dirent, rules: IgnoreRules): SkipReason | undefined {
    if (entry.isSymbolicLink()) return "symlink";
    if (!entry.isFile()) return "special";
    if (isSecretFile(path)) return "secret";
    if (this.#excluded(path)) return "excluded";
    if (rules.ignores(path)) return "ignored";
    if (isGeneratedName(path)) return "generated";
    if (this.#included !== undefined) return this.#included(path) ? undefined : "not_included";
    return languageOf(path) === undefined ? "file_type" : undefined;
  }
}

function examine(top: string, path: string, maxFileBytes: number): WalkEvent {
  let stat: BigIntStats;
  try {
    stat = lstatSync(join(top, path), { bigint: true });
  } catch (error) {
    return { kind: "failed", path, error };
  }
  if (!stat.isFile()) return { kind: "skipped", path, reason: "special" };
  if (stat.size === 0n) return { kind: "skipped", path, reason: "empty" };
  if (stat.size > BigInt(maxFileBytes)) return { kind: "skipped", path, reason: "too_large" };
  return { kind: "file", path, stamp: stampOf(stat) };
}

export function stampOf(stat: BigIntStats): FileStamp {
  const { size, mtimeNs, ctimeNs, ino } = stat;
  return { size, mtimeNs, ctimeNs, inode: BigInt.asIntN(64, ino) };
}

/** A stamp as one word, to be compared. */
/** Undefined where nothing can be told of the file. */
export async function stampOfFile(path: string): Promise<FileStamp | undefined> {
  try {
    return stampOf(await lstat(path, { bigint: true }));
  } catch {
    return undefined;
  }
}

export function stampText({ size, mtimeNs, ctimeNs, inode }: FileStamp): string {
  return `${size} ${mtimeNs} ${ctimeNs} ${inode}`;
}

/** Whether the caller's own patterns leave this path out, so that what is known of it stays. */
export function isOutsidePatterns(
  patterns: Pick<WalkOptions, "include" | "exclude">,
): (path: string) => boolean {
  const excluded = patternMatcher(patterns.exclude);
  const included = patterns.include.length === 0 ? () => true : patternMatcher(patterns.include);
  return (path) => excluded(path) || !included(path);
}
