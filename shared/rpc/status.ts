import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata, type StatusObject } from "@grpc/grpc-js";
import { StatusSchema } from "../gen/google/rpc/status_pb.js";
import { errorInfo } from "./error-details.ts";
import { addHeaders, headersOf } from "./metadata.ts";

const detailsKey = "grpc-status-details-bin";

/** The text travels twice, percent-encoded once, and trailers should stay below 8 KiB. */
const maxMessageCharacters = 1_000;

/**
 * An error as grpc-js sends it: code, text, and the trailers that carry `google.rpc.Status`.
 * `trailers` are those that the handler has set.
 */
export function statusOf(error: ConnectError, trailers: Metadata = new Metadata()): StatusObject {
  const details = bounded(error.rawMessage);
  // A peer's trailers are no business of our caller; its structured details are.
  if (!error.isWireError) addHeaders(trailers, error.metadata);
  if (error.details.length > 0) {
    const status = create(StatusSchema, {
      code: error.code,
      message: details,
      details: error.details.map((detail) =>
        "desc" in detail
          ? anyPack(detail.desc, create(detail.desc, detail.value))
          : { typeUrl: `type.googleapis.com/${detail.type}`, value: detail.value },
      ),
    });
    trailers.set(detailsKey, Buffer.from(toBinary(StatusSchema, status)));
  }
  return { code: error.code as number, details, metadata: trailers };
}

/** Bounded, and free of lone surrogates, at which grpc-js throws while it sends the trailers. */
function bounded(message: string): string {
  const short =
    message.length > maxMessageCharacters ? `${message.slice(0, maxMessageCharacters)}…` : message;
  return short.toWellFormed();
}

/** What a client of ours makes of a status that is not OK, its details readable by findDetails. */
export function errorOf(status: StatusObject): ConnectError {
  const known = status.code in Code;
  const error = new ConnectError(
    known ? status.details : `unknown status ${status.code}: ${status.details}`,
    known ? (status.code as number as Code) : Code.Unknown,
    headersOf(status.metadata),
  );
  error.isWireError = true;
  const packed = status.metadata.get(detailsKey)[0];
  if (Buffer.isBuffer(packed)) error.details = unpacked(packed);
  else if (error.code === Code.ResourceExhausted && /larger than max/.test(status.details)) {
    // grpc-js refuses a message by its length prefix, before any code that could add details.
    error.details = [errorInfo("MESSAGE_TOO_LARGE")];
  }
  return error;
}

function unpacked(packed: Uint8Array): ConnectError["details"] {
  try {
    return fromBinary(StatusSchema, packed).details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
      value,
    }));
  } catch {
    // Code and text arrived; details that cannot be read must not hide them.
    return [];
  }
}
