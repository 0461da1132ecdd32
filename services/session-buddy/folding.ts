import { hash } from "node:crypto";
import { markOf } from "./mark.ts";
import { normalise } from "./normalise.ts";
import type { Origin, StoredRecord } from "./record.ts";

/**
 * What makes records of two layouts one: the same words of the same kind, project and tenant, as
 * Session-Buddy's own migrations copy them. Words of a conversation count as they are; those of
 * others by Session-Buddy's rule for insights. 132 bits of a hash, to be kept for every record.
 */
export function identityOf(record: StoredRecord): string {
  const { kind, project, content, metadata } = record;
  const exact = kind === "conversation" || kind === "entity";
  const words = exact ? content.replace(/\s+/g, " ").trim() : normalise(content);
  // A copy of a reflection becomes an insight by the default of its column: of type general and
  // without the quality that every insight has.
  const byDefault =
    kind === "insight" && record.insightType === "general" && !metadata.includes('"quality_score"');
  const name = byDefault ? "reflection" : kind;
  const parts = [markOf(metadata).tenant, name, project, words];
  return hash("sha256", parts.join("\n"), "base64url").slice(0, 22);
}

/**
 * Makes one record of those that several layouts have. The layout that comes first has it; equal
 * records of one layout stay apart, as Session-Buddy has them.
 */
export class Folding {
  readonly #first = new Map<string, { readonly era: string; readonly origins: Origin[] }>();

  /** The record, whose origins grow as others are folded into it; undefined: it was folded. */
  fold(record: StoredRecord): StoredRecord | undefined {
    const identity = identityOf(record);
    const first = this.#first.get(identity);
    if (first === undefined) {
      const origins = [...record.origins];
      this.#first.set(identity, { era: record.era, origins });
      return { ...record, origins };
    }
    if (first.era === record.era) return record;
    first.origins.push(...record.origins);
    return undefined;
  }
}

/**
 * The same for a stream, where a record leaves before later ones come: everything is noted first,
 * and folded when it is read once more.
 */
export class TwoPassFolding {
  readonly #first = new Map<string, string>();
  /** Of those only that other layouts have too. */
  readonly #others = new Map<string, Origin[]>();

  note(record: StoredRecord): void {
    const identity = identityOf(record);
    const era = this.#first.get(identity);
    if (era === undefined) this.#first.set(identity, record.era);
    else if (era !== record.era) {
      const others = this.#others.get(identity) ?? [];
      others.push(...record.origins);
      this.#others.set(identity, others);
    }
  }

  /** The record with all its origins; undefined: it was folded. */
  fold(record: StoredRecord): StoredRecord | undefined {
    const identity = identityOf(record);
    if ((this.#first.get(identity) ?? record.era) !== record.era) return undefined;
    const others = this.#others.get(identity);
    if (others === undefined) return record;
    this.#others.delete(identity);
    return { ...record, origins: [...record.origins, ...others] };
  }
}
