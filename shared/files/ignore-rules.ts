import { join } from "node:path";
import ignore, { type Ignore } from "ignore";
import { readRegularFile } from "./regular-file.ts";

const maxIgnoreFileBytes = 1024 * 1024;

/** Of one folder, in the order in which they are read: the last that says something decides. */
const ignoreFiles = [".gitignore", ".mahavishnuignore"];

/** Rules of one folder's ignore files, for paths below it. */
interface Layer {
  /** The folder, relative to the top of the walk: "", or a path that ends with a slash. */
  readonly base: string;
  readonly rules: Ignore;
}

/**
 * The .gitignore and .mahavishnuignore files that hold for a folder: its own and those above it. As
 * in git, the nearest file that says something about a path decides, and what is below an ignored
 * folder stays ignored; of one folder, .mahavishnuignore decides, so that it may take in again what
 * git leaves out.
 */
export class IgnoreRules {
  /** Nearest first. */
  readonly #layers: readonly Layer[];
  /** The top of the walk within the folder of the outermost rules: "", or ends with a slash. */
  readonly #prefix: string;

  private constructor(layers: readonly Layer[], prefix: string) {
    this.#layers = layers;
    this.#prefix = prefix;
  }

  static readonly none = new IgnoreRules([], "");

  /**
   * These rules and those of a folder's own ignore files, which stand at `top`/`folder`; `names` are
   * the folder's, where they are known.
   */
  within(top: string, folder: string, names?: ReadonlySet<string>): IgnoreRules {
    const texts = ignoreFiles
      .filter((name) => names === undefined || names.has(name))
      .map((name) => readIgnoreFile(join(top, folder, name)));
    const given = texts.filter((text) => text !== undefined);
    return this.with(folder, given.length === 0 ? undefined : given.join("\n"));
  }

  with(folder: string, patterns: string | undefined): IgnoreRules {
    if (patterns === undefined) return this;
    const rules = ignore({ ignorecase: false }).add(patterns);
    const base = this.#prefix + (folder === "" ? "" : `${folder}/`);
    return new IgnoreRules([{ base, rules }, ...this.#layers], this.#prefix);
  }

  /** The same rules for a walk that begins at a folder further down. */
  below(folder: string): IgnoreRules {
    return new IgnoreRules(this.#layers, `${this.#prefix}${folder}/`);
  }

  /** `path` is relative to the top of the walk; a folder's ends with a slash. */
  ignores(path: string): boolean {
    const full = this.#prefix + path;
    for (const { base, rules } of this.#layers) {
      const { ignored, unignored } = rules.test(full.slice(base.length));
      if (ignored || unignored) return ignored;
    }
    return false;
  }
}

/** The text of an ignore file; undefined where there is none that can be read. */
export function readIgnoreFile(path: string): string | undefined {
  try {
    const { bytes } = readRegularFile(path, maxIgnoreFileBytes);
    return bytes.toString("utf8").replace(/^\uFEFF/, "");
  } catch {
    // As git does: an ignore file that cannot be read, or is no regular file, says nothing.
    return undefined;
  }
}

/** A matcher of the caller's own patterns, in the syntax of .gitignore. */
export function patternMatcher(patterns: readonly string[]): (path: string) => boolean {
  const rules = ignore({ ignorecase: false }).add(patterns);
  return (path) => rules.ignores(path);
}
