import { hash, timingSafeEqual } from "node:crypto";
import type { Interceptor } from "@connectrpc/connect";
import { DomainError } from "../errors.ts";
import { headerOf } from "./metadata.ts";

/** Probes and tools that explore an API carry no token; neither service tells of anyone's data. */
const exempt = /^grpc\.(health|reflection)\./;

/** Lets through who sends `authorization: Bearer <token>`. */
export function authentication(token: string): Interceptor {
  const expected = digest(`Bearer ${token}`);
  return (next) => async (request) => {
    if (!exempt.test(request.service.typeName)) {
      const given = digest(headerOf(request, "authorization") ?? "");
      // Digests have one length, so the comparison takes the same time whatever was sent.
      if (!timingSafeEqual(given, expected)) {
        throw new DomainError(
          "unauthenticated",
          "UNAUTHENTICATED",
          "a valid `authorization: Bearer` token is needed",
        );
      }
    }
    return next(request);
  };
}

function digest(text: string): Buffer {
  return hash("sha256", text, "buffer");
}
