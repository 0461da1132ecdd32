import type { Metadata } from "@grpc/grpc-js";

/** What the protocol itself sets; never copied from the headers that a caller or handler gives. */
const reserved = /^(:|grpc-|content-type$|te$|user-agent$|connection$|host$)/;

/**
 * Connect's view of gRPC metadata: values of `-bin` keys are base64, several values of one key are
 * joined by commas.
 */
export function headersOf(metadata: Metadata | undefined): Headers {
  const headers = new Headers();
  if (metadata === undefined) return headers;
  for (const [key, values] of Object.entries(metadata.toJSON()) as [string, unknown[]][]) {
    for (const value of values) {
      headers.append(key, Buffer.isBuffer(value) ? value.toString("base64") : String(value));
    }
  }
  return headers;
}

/** Adds headers to metadata. Throws where a value is not printable ASCII, as gRPC demands. */
export function addHeaders(metadata: Metadata, headers: Headers): Metadata {
  headers.forEach((value, key) => {
    if (reserved.test(key)) return;
    if (!key.endsWith("-bin")) metadata.add(key, value);
    // Commas do not occur in base64, so here they can only join several values.
    else for (const one of value.split(",")) metadata.add(key, Buffer.from(one.trim(), "base64"));
  });
  return metadata;
}
