import type { FoundPage } from "./folder-reader.ts";
import { stampAt } from "./folder-reader.ts";
import { PathList } from "./path-list.ts";
import { comparePaths, stampText } from "./repository-walk.ts";
import type { ListedFile } from "./store.ts";
import type { Tally } from "./tally.ts";

export interface ScanParts {
  /** What a walk finds, in the order of `comparePaths`. */
  readonly found: AsyncIterable<FoundPage>;
  /** What is known of files after that path, in the same order; no more where there are less. */
  readonly listed: (after: string, limit: number) => Promise<readonly ListedFile[]>;
  /** Whether what is known to be stored can be relied on. */
  readonly trusted: boolean;
  readonly tally: Tally;
  /** A file that is as it was. */
  readonly onUnchanged: (file: ListedFile) => void;
}

/** What is to be done, and what was found to be gone. */
export interface Scan {
  /** Files that are new, or may have changed. */
  readonly changed: PathList;
  /** Files that are known, and were not found. */
  readonly gone: PathList;
  /** Files and folders that could not be looked at. */
  readonly unseen: readonly string[];
}

/** Known files that are looked at together. */
const listedPerPage = 5_000;

/**
 * Compares what a folder holds with what is known of it, both in the same order, so that neither is
 * ever held as a whole. An unchanged file costs a look at its inode and a row that is read.
 */
export async function scanFolder(parts: ScanParts): Promise<Scan> {
  const { tally, trusted, onUnchanged } = parts;
  const changed = new PathList();
  const gone = new PathList();
  const unseen: string[] = [];
  const known = new Listing(parts.listed);
  const passOver = (file: ListedFile) => {
    if (!file.isPushed) gone.add(file.path);
  };
  for await (const { paths, stamps, skipped, failed } of parts.found) {
    for (const [reason, { count, examples }] of Object.entries(skipped)) {
      tally.skip({ reason }, examples, count);
    }
    for (const { path, error } of failed) {
      unseen.push(path);
      tally.filesTotal++;
      tally.filesRead++;
      tally.filesDone++;
      tally.fail(error);
    }
    for (const [index, path] of paths.entries()) {
      tally.filesTotal++;
      let file = known.next() ?? (await known.more());
      while (file !== undefined && comparePaths(file.path, path) < 0) {
        known.take();
        passOver(file);
        file = known.next() ?? (await known.more());
      }
      const stamp = stampAt(stamps, index);
      if (file?.path !== path) {
        changed.add(path, Number(stamp.size));
        continue;
      }
      known.take();
      if (trusted && file.isCurrent && file.stamp === stampText(stamp)) onUnchanged(file);
      else changed.add(path, Number(stamp.size));
    }
  }
  for (;;) {
    const file = known.next() ?? (await known.more());
    if (file === undefined) return { changed, gone, unseen };
    known.take();
    passOver(file);
  }
}

/** What is known of files, page by page. */
class Listing {
  readonly #load: ScanParts["listed"];
  #page: readonly ListedFile[] = [];
  #at = 0;
  #after = "";
  #ended = false;

  constructor(load: ScanParts["listed"]) {
    this.#load = load;
  }

  /** The next one; undefined where more must be asked for. */
  next(): ListedFile | undefined {
    return this.#page[this.#at];
  }

  take(): void {
    this.#at++;
  }

  /** The next one after asking for more; undefined where there is none. */
  async more(): Promise<ListedFile | undefined> {
    if (this.#ended) return undefined;
    this.#page = await this.#load(this.#after, listedPerPage);
    this.#at = 0;
    this.#after = this.#page.at(-1)?.path ?? this.#after;
    this.#ended = this.#page.length < listedPerPage;
    return this.next();
  }
}
