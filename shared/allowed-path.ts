import { constants } from "node:fs";
import { access, realpath, stat } from "node:fs/promises";
import { isAbsolute, normalize, sep } from "node:path";
import { DomainError, type ErrorKind } from "./errors.ts";

/** Folders below which a caller's paths may lie. Undefined: anywhere. */
export type AllowedRoots = readonly string[] | undefined;

export class PathRefusedError extends DomainError {
  override readonly name = "PathRefusedError";

  constructor(
    kind: Extract<ErrorKind, "invalid_argument" | "not_found" | "permission_denied">,
    path: string,
    message: string,
    cause?: unknown,
  ) {
    super(kind, "PATH_REFUSED", message, {
      facts: { path },
      // So that a client that knows only field errors finds the field.
      violations: kind === "invalid_argument" ? [{ field: "path", description: message }] : [],
      cause,
    });
  }
}

/** Whoever reaches a process from its machine could read its files anyway; others could not. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d+){3}$/.test(host);
}

/**
 * Resolves a folder or file that a caller names to its real path. Throws PathRefusedError: relative
 * or another kind of thing (INVALID_ARGUMENT), absent (NOT_FOUND), outside the roots once all
 * symbolic links are resolved, or unreadable (PERMISSION_DENIED). Outside the roots nothing tells
 * what exists.
 */
export async function resolveAllowedPath(
  path: string,
  roots: AllowedRoots,
  kind: "folder" | "file",
): Promise<string> {
  if (!isAbsolute(path)) {
    throw new PathRefusedError("invalid_argument", path, "path must be absolute");
  }
  const outside = new PathRefusedError(
    "permission_denied",
    path,
    "path lies outside the folders that this server may read",
  );
  const allowed = await realRoots(roots);
  let real: string;
  try {
    real = await realpath(path);
  } catch (error) {
    if (allowed !== undefined && !isWithinAny(normalize(path), allowed)) throw outside;
    throw refusalOf(path, kind, error);
  }
  if (allowed !== undefined && !isWithinAny(real, allowed)) throw outside;
  try {
    const found = await stat(real);
    if (!(kind === "folder" ? found.isDirectory() : found.isFile())) {
      throw new PathRefusedError("invalid_argument", path, `path is not a ${kind}`);
    }
    await access(real, kind === "folder" ? constants.R_OK | constants.X_OK : constants.R_OK);
  } catch (error) {
    throw refusalOf(path, kind, error);
  }
  return real;
}

async function realRoots(roots: AllowedRoots): Promise<string[] | undefined> {
  if (roots === undefined) return undefined;
  // A root that does not exist now allows nothing now.
  const resolved = await Promise.allSettled(roots.map((root) => realpath(root)));
  return resolved.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
}

function isWithinAny(path: string, roots: readonly string[]): boolean {
  return roots.some(
    (root) => path === root || path.startsWith(root.endsWith(sep) ? root : root + sep),
  );
}

function refusalOf(path: string, kind: "folder" | "file", error: unknown): unknown {
  if (error instanceof PathRefusedError) return error;
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return new PathRefusedError("not_found", path, `no such ${kind}`, error);
    case "ENOTDIR":
      return new PathRefusedError("invalid_argument", path, `path is not a ${kind}`, error);
    case "EACCES":
    case "EPERM":
      return new PathRefusedError("permission_denied", path, "path cannot be read", error);
    case "ELOOP":
    case "ENAMETOOLONG":
    case "ERR_INVALID_ARG_VALUE":
      return new PathRefusedError("invalid_argument", path, "path cannot be resolved", error);
    default:
      return error;
  }
}
