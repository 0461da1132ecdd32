import type { FolderReader, PlannedPage } from "./folder-reader.ts";
import type { ListedPath, PathList } from "./path-list.ts";
import type { KnownFile } from "./store.ts";

/** Files of which is asked at once what is known of them. */
const filesPerLook = 1_000;
/** Files, and bytes of them, that are read by one request, and requests that are made ahead. */
const filesPerRequest = 32;
const bytesPerRequest = 512 * 1024;
const requestsAhead = 2;

/** A file that is to be read, and what is known of it. */
export interface WantedFile extends ListedPath {
  readonly known: KnownFile | undefined;
}

/** Files, and what reading and splitting them came to. */
export interface FedPage {
  readonly files: readonly WantedFile[];
  readonly planned: PlannedPage;
}

export interface FeedParts {
  readonly reader: Pick<FolderReader, "plan">;
  readonly files: PathList;
  /** What is known of files. */
  readonly look: (paths: readonly string[]) => Promise<ReadonlyMap<string, KnownFile>>;
  /** Whether what is stored of a file still counts, as long as its bytes are the same. */
  readonly isCurrent: (known: KnownFile) => boolean;
  readonly isSetAside: (path: string) => boolean;
  /** Called in place of reading it. */
  readonly onSetAside: (path: string) => Promise<void>;
}

/** Reads files and splits them, a bounded number ahead of whoever takes them. */
export class FileFeed {
  readonly #parts: FeedParts;
  readonly #wanted: AsyncGenerator<WantedFile>;

  constructor(parts: FeedParts) {
    this.#parts = parts;
    this.#wanted = this.#look();
  }

  /** The next file, which its taker is to read; undefined after the last. */
  async next(): Promise<WantedFile | undefined> {
    const next = await this.#wanted.next();
    return next.done ? undefined : next.value;
  }

  async read(files: readonly WantedFile[]): Promise<FedPage> {
    const requests = files.map(({ path, known }) => ({
      path,
      hash: known !== undefined && this.#parts.isCurrent(known) ? known.hash : undefined,
    }));
    return { files, planned: await this.#parts.reader.plan(requests) };
  }

  /** All others, while the ones after them are being read. */
  async *pages(): AsyncGenerator<FedPage> {
    const ahead: Promise<FedPage>[] = [];
    for await (const files of this.#requests()) {
      const page = this.read(files);
      // Where an earlier one fails, nobody waits for this one.
      page.catch(() => {});
      ahead.push(page);
      const first = ahead.length < requestsAhead ? undefined : ahead.shift();
      if (first !== undefined) yield await first;
    }
    for (const page of ahead) yield await page;
  }

  async *#requests(): AsyncGenerator<WantedFile[]> {
    let files: WantedFile[] = [];
    let bytes = 0;
    for await (const file of this.#wanted) {
      const fits = files.length < filesPerRequest && bytes + file.size <= bytesPerRequest;
      if (!fits && files.length > 0) {
        yield files;
        files = [];
        bytes = 0;
      }
      files.push(file);
      bytes += file.size;
    }
    if (files.length > 0) yield files;
  }

  async *#look(): AsyncGenerator<WantedFile> {
    const { files, look, isSetAside, onSetAside } = this.#parts;
    for (const page of files.pages(filesPerLook)) {
      const known = await look(page.map(({ path }) => path));
      for (const { path, size } of page) {
        if (isSetAside(path)) await onSetAside(path);
        else yield { path, size, known: known.get(path) };
      }
    }
  }
}
