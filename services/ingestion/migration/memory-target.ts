import type { ItemFailure, Work } from "../ports.ts";
import type { TargetMemory } from "./target-memory.ts";

/** A memory that is stored already, and from which record it came. */
export interface StoredMemory {
  readonly id: string;
  /** "" where no migration stored it. */
  readonly migrationId: string;
  readonly originId: string;
  readonly era: string;
}

/** What became of a memory that was written. */
export type WriteOutcome =
  | { readonly kind: "stored" }
  /** The same content is there under another id. */
  | { readonly kind: "deduplicated" }
  | { readonly kind: "refused"; readonly failure: ItemFailure };

export interface EmbeddedMemory extends TargetMemory {
  readonly vector: readonly number[];
}

/**
 * Where records become memories. Every method throws DependencyUnavailableError where the store does
 * not answer, other DomainErrors as it reports them.
 */
export interface MemoryTarget {
  /** Those of the ids (any number, of about 4 MiB of content together) that are stored. */
  existing(work: Work, ids: readonly string[]): Promise<ReadonlyMap<string, StoredMemory>>;
  /** One transaction; writing the same again does no harm. As many outcomes, in order. */
  write(
    work: Work,
    model: string,
    memories: readonly EmbeddedMemory[],
  ): Promise<readonly WriteOutcome[]>;
  /** How many memories a migration has stored. */
  count(work: Work, migrationId: string): Promise<number>;
}
