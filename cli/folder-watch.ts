import { readdir } from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { watch } from "chokidar";
import { readCheckout } from "../shared/files/git-checkout.ts";
import { IgnoreRules, patternMatcher } from "../shared/files/ignore-rules.ts";

/** Never of interest to ingestion, and often large. */
const neverWatched = new Set([".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv"]);
const ignoreFiles = new Set([".gitignore", ".mahavishnuignore"]);

export interface FolderWatchOptions {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** A path within the folder has come, changed or gone. */
  readonly onChange: (path: string) => void;
  /** The watch is not complete, or has ended. */
  readonly onError: (error: unknown) => void;
}

/**
 * Tells what changes in a folder, below it too, without what is passed over by its ignore files or
 * by patterns. Symbolic links are not followed.
 */
export class FolderWatch implements AsyncDisposable {
  readonly #folder: string;
  readonly #options: FolderWatchOptions;
  readonly #included: (path: string) => boolean;
  readonly #excluded: (path: string) => boolean;
  #watcher: ReturnType<typeof watch> | undefined;
  #rules = new Map<string, IgnoreRules>();
  #isStale = false;

  private constructor(folder: string, options: FolderWatchOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#excluded = patternMatcher(options.exclude);
    this.#included = options.include.length === 0 ? () => true : patternMatcher(options.include);
  }

  /** Resolves when every later change will be told. */
  static async open(folder: string, options: FolderWatchOptions): Promise<FolderWatch> {
    const one = new FolderWatch(folder, options);
    await one.#open();
    return one;
  }

  /** Looks at everything anew where ignore files have changed. */
  async refresh(): Promise<void> {
    if (!this.#isStale) return;
    await this.#watcher?.close();
    await this.#open();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watcher?.close();
  }

  async #open(): Promise<void> {
    this.#isStale = false;
    this.#rules = await this.#readRules();
    const watcher = watch(this.#folder, {
      ignored: (path, stats) => this.#ignores(path, stats?.isDirectory()),
      ignoreInitial: true,
      followSymlinks: false,
    });
    this.#watcher = watcher;
    watcher.on("all", (event, path) => {
      // A folder's content is told of by itself.
      if (event === "addDir") return;
      const inner = this.#relative(path);
      if (ignoreFiles.has(basename(inner))) this.#isStale = true;
      else if (event !== "unlinkDir" && !this.#included(inner)) return;
      this.#options.onChange(inner);
    });
    watcher.on("error", (error) => this.#options.onError(error));
    await new Promise<void>((resolve) => watcher.once("ready", () => resolve()));
  }

  #relative(path: string): string {
    return relative(this.#folder, path).replaceAll(sep, "/");
  }

  #ignores(path: string, isFolder: boolean | undefined): boolean {
    const inner = this.#relative(path);
    if (inner === "") return false;
    if (neverWatched.has(basename(inner))) return true;
    // Asked without knowing what it is, the watcher asks again once it knows.
    const name = isFolder ? `${inner}/` : inner;
    return this.#excluded(name) || this.#rulesOf(dirname(inner)).ignores(name);
  }

  /** Those of the nearest folder above that was there when the rules were read. */
  #rulesOf(folder: string): IgnoreRules {
    for (let at = folder === "." ? "" : folder; ; at = at.includes("/") ? dirname(at) : "") {
      const rules = this.#rules.get(at);
      if (rules !== undefined) return rules;
      if (at === "") return IgnoreRules.none;
    }
  }

  /** The rules of every folder that is not passed over. */
  async #readRules(): Promise<Map<string, IgnoreRules>> {
    const top = (await readCheckout(this.#folder))?.rules ?? IgnoreRules.none;
    const found = new Map<string, IgnoreRules>();
    const pending: { folder: string; above: IgnoreRules }[] = [{ folder: "", above: top }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { folder, above } = next;
      const rules = await above.within(this.#folder, folder);
      found.set(folder, rules);
      const entries = await readdir(join(this.#folder, folder), { withFileTypes: true }).catch(
        () => [],
      );
      for (const entry of entries) {
        const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
        if (!entry.isDirectory() || neverWatched.has(entry.name)) continue;
        if (!this.#excluded(`${path}/`) && !rules.ignores(`${path}/`)) {
          pending.push({ folder: path, above: rules });
        }
      }
    }
    return found;
  }
}
