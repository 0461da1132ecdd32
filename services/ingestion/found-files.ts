import type { FileStamp } from "./repository-walk.ts";

const firstCapacity = 1_024;

/** Files that a walk has found, in a few bytes each: there may be a million. */
export class FoundFiles {
  readonly #paths: string[] = [];
  /** Size, mtime and ctime of each. */
  #stamps = new BigUint64Array(firstCapacity * 3);

  get count(): number {
    return this.#paths.length;
  }

  add(path: string, { size, mtimeNs, ctimeNs }: FileStamp): void {
    const at = this.#paths.length * 3;
    if (at === this.#stamps.length) {
      const grown = new BigUint64Array(this.#stamps.length * 2);
      grown.set(this.#stamps);
      this.#stamps = grown;
    }
    this.#stamps.set([size, mtimeNs, ctimeNs], at);
    this.#paths.push(path);
  }

  paths(from: number, to: number): readonly string[] {
    return this.#paths.slice(from, to);
  }

  stamp(index: number): FileStamp {
    const [size = 0n, mtimeNs = 0n, ctimeNs = 0n] = this.#stamps.subarray(index * 3, index * 3 + 3);
    return { size, mtimeNs, ctimeNs };
  }
}
