import { type DomainError, InvalidRequestError } from "../../shared/errors.ts";

/** Bounds of what one request may hold. */
export const textLimits = { texts: 1_000, bytes: 1024 * 1024, idBytes: 256, modelBytes: 256 };

/** Why a text cannot be embedded by any model; undefined where nothing is wrong with it. */
export function textFault(text: string, field: string): DomainError | undefined {
  if (text.trim() === "") return fault(field, "holds nothing but white space");
  // No character has more than three bytes per code unit.
  if (text.length * 3 <= textLimits.bytes) return undefined;
  const bytes = Buffer.byteLength(text);
  if (bytes <= textLimits.bytes) return undefined;
  return fault(field, `has ${bytes} bytes, more than ${textLimits.bytes}`);
}

function fault(field: string, description: string): DomainError {
  return new InvalidRequestError([{ field, description }]);
}
