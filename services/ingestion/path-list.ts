const blockBytes = 64 * 1024;
const between = "\0";

/** A file that is listed, and its size when it was. */
export interface ListedPath {
  readonly path: string;
  readonly size: number;
}

/** Paths in the order in which they are added, as bytes outside of the heap: there may be a million. */
export class PathList {
  readonly #blocks: Buffer[] = [];
  /** What comes into the next block. */
  #open = "";
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(path: string, size = 0): void {
    this.#open += path + between + size + between;
    this.#count++;
    if (this.#open.length >= blockBytes) {
      this.#blocks.push(Buffer.from(this.#open));
      this.#open = "";
    }
  }

  *[Symbol.iterator](): Generator<ListedPath> {
    for (const block of this.#blocks) yield* listedIn(block.toString());
    yield* listedIn(this.#open);
  }

  /** So many at a time. */
  *pages(most: number): Generator<ListedPath[]> {
    let page: ListedPath[] = [];
    for (const one of this) {
      page.push(one);
      if (page.length < most) continue;
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  }
}

function* listedIn(block: string): Generator<ListedPath> {
  const parts = block.split(between);
  for (let at = 0; at + 1 < parts.length; at += 2) {
    yield { path: parts[at] ?? "", size: Number(parts[at + 1]) };
  }
}
