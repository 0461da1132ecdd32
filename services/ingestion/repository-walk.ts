import type { BigIntStats, Dirent } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
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
  readonly signal?: AbortSignal | undefined;
}

/**
 * Walks a folder and tells of every file once: to be read, passed over and why, or failed. Paths
 * are relative to the folder, with slashes; the order is that of names by UTF-16 unit, a folder's
 * content standing where the folder stands. Symbolic links are never followed, so that nothing
 * outside the folder is read and no file twice.
 */
export async function* walkRepository(
  folder: string,
  options: WalkOptions,
): AsyncGenerator<WalkEvent> {
  const { signal } = options;
  const judge = new Judge(options);
  const start = await (options.rules ?? IgnoreRules.none).within(folder, "");
  const pending: Pending[] = await listFolder(folder, "", start);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    signal?.throwIfAborted();
    const { path, entry, rules } = next;
    if (entry.isDirectory()) {
      const reason = judge.folder(path, rules);
      if (reason !== undefined) {
        yield { kind: "skipped", path, reason };
        continue;
      }
      try {
        const content = await listFolder(folder, path, await rules.within(folder, path));
        for (const child of content) pending.push(child);
      } catch (error) {
        yield { kind: "failed", path, error };
      }
      continue;
    }
    const reason = judge.file(path, entry, rules);
    yield reason === undefined
      ? await examine(folder, path, options.maxFileBytes)
      : { kind: "skipped", path, reason };
  }
}

interface Pending {
  readonly path: string;
  readonly entry: Dirent;
  readonly rules: IgnoreRules;
}

/** Last first: the walk takes from the end. */
async function listFolder(top: string, path: string, rules: IgnoreRules): Promise<Pending[]> {
  const entries = await readdir(join(top, path), { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? 1 : -1));
  return entries.map((entry) => ({
    path: path === "" ? entry.name : `${path}/${entry.name}`,
    entry,
    rules,
  }));
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

async function examine(top: string, path: string, maxFileBytes: number): Promise<WalkEvent> {
  let stat: BigIntStats;
  try {
    stat = await lstat(join(top, path), { bigint: true });
  } catch (error) {
    return { kind: "failed", path, error };
  }
  if (!stat.isFile()) return { kind: "skipped", path, reason: "special" };
  if (stat.size === 0n) return { kind: "skipped", path, reason: "empty" };
  if (stat.size > BigInt(maxFileBytes)) return { kind: "skipped", path, reason: "too_large" };
  return { kind: "file", path, stamp: stampOf(stat) };
}

export function stampOf(stat: BigIntStats): FileStamp {
  return { size: stat.size, mtimeNs: stat.mtimeNs, ctimeNs: stat.ctimeNs };
}

/** Whether the caller's own patterns leave this path out, so that what is known of it stays. */
export function isOutsidePatterns(
  patterns: Pick<WalkOptions, "include" | "exclude">,
): (path: string) => boolean {
  const excluded = patternMatcher(patterns.exclude);
  const included = patterns.include.length === 0 ? () => true : patternMatcher(patterns.include);
  return (path) => excluded(path) || !included(path);
}
