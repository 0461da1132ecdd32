import { createHash } from "node:crypto";

/**
 * Names for statements that PostgreSQL shall prepare once a connection. Filters can take any
 * number of shapes, and every prepared one stays in the memory of both sides: so only the first
 * `most` different texts get a name, the others are parsed each time.
 */
export class StatementNames {
  readonly #names = new Map<string, string>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  nameOf(text: string): string | undefined {
    const known = this.#names.get(text);
    if (known !== undefined || this.#names.size >= this.#most) return known;
    const name = `vs_${createHash("sha256").update(text).digest("hex").slice(0, 24)}`;
    this.#names.set(text, name);
    return name;
  }
}
