import type { StoredDocument } from "./document.ts";
import type { Instant } from "./instant.ts";
import type { NewPassage } from "./passage.ts";

/** New values for some fields of one document; what is absent stays as it is. */
export interface DocumentChange {
  readonly id: string;
  /** Without a vector beside it a new content has none. */
  readonly content?: { readonly text: string; readonly hash: string };
  readonly vector?: ArrayLike<number>;
  /** Only beside a vector, which takes the place of the one that is there with its passages. */
  readonly passages?: readonly NewPassage[];
  /** A JSON object as text. */
  readonly metadata?: string;
  /** `null`: it does not expire any more. */
  readonly expireTime?: Instant | null;
  /** Only where this is the document's time of update. */
  readonly ifUpdateTime?: Instant;
}

export type ChangeResult =
  | {
      readonly outcome: "updated";
      /** Without its vector. */
      readonly document: StoredDocument;
      readonly hasVector: boolean;
    }
  | { readonly outcome: "not_found" }
  /** It was written since. */
  | { readonly outcome: "changed_meanwhile" }
  /** The document `id` has this content already, in the same scope. */
  | { readonly outcome: "duplicate_content"; readonly id: string };
