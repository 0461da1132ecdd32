import { join } from "node:path";
import ignore, { type Ignore } from "ignore";
import { readRegularFile } from "./regular-file.ts";

const maxIgnoreFileBytes = 1024 * 1024;

/** Rules of one .gitignore, for paths below its folder. */
interface Layer {
  /** The folder, relative to the top of the walk: "", or a path that ends with a slash. */
  readonly base: string;
  readonly rules: Ignore;
}

/**
 * The .gitignore files that hold for a folder: its own and those above it. As in git, the nearest
 * file that says something about a path decides, and what is below an ignored folder stays ignored.
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

  /** These rules and those of a folder's own .gitignore, which stands at `top`/`folder`. */
  async within(top: string, folder: string): Promise<IgnoreRules> {
    return this.with(folder, await readIgnoreFile(join(top, folder, ".gitignore")));
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
export async function readIgnoreFile(path: string): Promise<string | undefined> {
  try {
    const { bytes } = await readRegularFile(path, maxIgnoreFileBytes);
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
