import { type DescMessage, ScalarType } from "@bufbuild/protobuf";

/** Whether a message's one field is a `repeated float`. */
export function isFloatList({ fields: [only, ...others] }: DescMessage): boolean {
  if (only?.fieldKind !== "list" || others.length > 0) return false;
  return only.listKind === "scalar" && only.scalar === ScalarType.FLOAT;
}

/** The message itself and all that may be within it, however deep. */
export function everyWithin(schema: DescMessage): DescMessage[] {
  const seen = new Set<DescMessage>([schema]);
  // Grows while it is walked.
  for (const { fields } of seen) {
    for (const { message } of fields) if (message !== undefined) seen.add(message);
  }
  return [...seen];
}
