import { contentHash } from "../../shared/hash.ts";

/**
 * Session-Buddy's rule for when two insights say the same: lower case, without punctuation, white
 * space collapsed. A text of punctuation only stays as it is, else all such texts would be one.
 */
export function normalise(content: string): string {
  const collapsed = content
    .toLowerCase()
    .replace(/[.,!?;:"'()[\]{}<>/-]/g, "")
    .replace(/\s+/g, " ")
    .trim();
  return collapsed === "" ? content.toLowerCase().trim() : collapsed;
}

/** SHA-256 of the normalised text, as hex; what Session-Buddy itself compares. */
export function normalisedHash(content: string): string {
  return contentHash(normalise(content));
}
