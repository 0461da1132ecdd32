import type { MessageInitShape } from "@bufbuild/protobuf";
import { BadRequestSchema } from "../gen/google/rpc/error_details_pb.js";
import { ErrorReason, type ItemErrorSchema } from "../gen/mahavishnu/type/v1/error_pb.js";
import { type FunnelContext, toConnectError } from "./errors.ts";
import { reasonOf } from "./peer-errors.ts";

/**
 * What a batch reports of one item that failed, from anything that was thrown for it; by the same
 * rules as for a whole call, so an unexpected error is INTERNAL and goes to `onUnexpected`.
 * `field` defaults to the first violation's field.
 */
export function itemError(
  error: unknown,
  field?: string,
  context: FunnelContext = {},
): MessageInitShape<typeof ItemErrorSchema> {
  const status = toConnectError(error, context);
  const violations = status.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations);
  return {
    code: status.code,
    reason: reasonNumber(reasonOf(status)),
    message: status.rawMessage,
    field: field ?? violations[0]?.field ?? "",
  };
}

function reasonNumber(name: string | undefined): ErrorReason {
  const value = name === undefined ? undefined : ErrorReason[name as keyof typeof ErrorReason];
  return value ?? ErrorReason.UNSPECIFIED;
}
