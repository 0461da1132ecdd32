import { constants } from "node:fs";
import { access, realpath, stat } from "node:fs/promises";
import { isAbsolute, normalize, sep } from "node:path";
import { PathRefusedError } from "./errors.ts";

/** Where repositories may lie: real paths of folders. Undefined: anywhere. */
export type AllowedRoots = readonly string[] | undefined;

/**
 * Resolves a folder that is to be ingested to its real path. Throws PathRefusedError: relative or
 * no folder (INVALID_ARGUMENT), absent (NOT_FOUND), outside the roots once all symbolic links are
 * resolved, or unreadable (PERMISSION_DENIED). Outside the roots nothing tells what exists.
 */
export async function resolveRepository(path: string, roots: AllowedRoots): Promise<string> {
  if (!isAbsolute(path)) {
    throw new PathRefusedError("invalid_argument", path, "path must be absolute");
  }
  const outside = new PathRefusedError(
    "permission_denied",
    path,
    "path lies outside the folders that this server may ingest",
  );
  const allowed = await realRoots(roots);
  let real: string;
  try {
    real = await realpath(path);
  } catch (error) {
    if (allowed !== undefined && !isWithinAny(normalize(path), allowed)) throw outside;
    throw refusalOf(path, error);
  }
  if (allowed !== undefined && !isWithinAny(real, allowed)) throw outside;
  try {
    const found = await stat(real);
    if (!found.isDirectory()) {
      throw new PathRefusedError("invalid_argument", path, "path is not a folder");
    }
    await access(real, constants.R_OK | constants.X_OK);
  } catch (error) {
    throw refusalOf(path, error);
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

function refusalOf(path: string, error: unknown): unknown {
  if (error instanceof PathRefusedError) return error;
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return new PathRefusedError("not_found", path, "no such folder", error);
    case "ENOTDIR":
      return new PathRefusedError("invalid_argument", path, "path is not a folder", error);
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
