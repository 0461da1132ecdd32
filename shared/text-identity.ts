import { v5 } from "uuid";

/** Fixed for ever: ids made under it are stored. */
const namespace = "6f0c8d5e-3c0b-5b5a-9a53-0d5f5d7c6e21";

/** The same name has the same id, in whatever process: a UUIDv5 (RFC 9562). */
export function nameBasedId(name: string): string {
  return v5(name, namespace);
}

/**
 * What is left of a text where case, punctuation and white space do not count. Empty for a text of
 * punctuation alone.
 */
export function normalisedText(text: string): string {
  return text
    .toLowerCase()
    .replace(/[.,!?;:"'()[\]{}<>/-]/g, "")
    .replace(/\s+/g, " ")
    .trim();
}
