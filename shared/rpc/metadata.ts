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

/** A request that can tell one header without making them all. */
export interface HeaderSource {
  readonly header: Headers;
  /** As `header.get(key)`; there where the request came over the wire. */
  readonly headerValue?: (key: string) => string | null;
}

/** One header of a request, null where it has none. `key` is in lower case and not of `-bin`. */
export function headerOf(request: HeaderSource, key: string): string | null {
  return request.headerValue === undefined ? request.header.get(key) : request.headerValue(key);
}

/** The value of a key, several joined as in Connect's view; null where there is none. */
export function metadataValue(metadata: Metadata | undefined, key: string): string | null {
  const values = metadata?.get(key);
  if (values === undefined || values.length === 0) return null;
  return values.map((value) => String(value).trim()).join(", ");
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
