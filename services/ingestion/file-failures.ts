import { DomainError } from "../../shared/errors.ts";
import { FileTooLargeError, NotRegularFileError } from "../../shared/files/regular-file.ts";
import type { SkipReason } from "./exclusions.ts";
import type { FileError } from "./ingestion.ts";

/** What a caller is told of a file that cannot be ingested; nothing of what is in it. */
export function fileErrorOf(path: string, error: unknown): FileError {
  if (error instanceof DomainError) {
    return { path, kind: error.kind, reason: error.reason, message: error.message };
  }
  if (error instanceof RangeError) {
    return { path, kind: "invalid_argument", reason: "PATH_REFUSED", message: error.message };
  }
  switch (codeOf(error)) {
    case "EACCES":
    case "EPERM":
      return { path, kind: "permission_denied", reason: "PATH_REFUSED", message: "cannot be read" };
    case "ENAMETOOLONG":
      return { path, kind: "invalid_argument", reason: "PATH_REFUSED", message: "path too long" };
    case undefined:
      return { path, kind: "internal", reason: "INTERNAL", message: "could not be split" };
    default:
      return { path, kind: "internal", reason: "PATH_REFUSED", message: `${codeOf(error)}` };
  }
}

/** The file is not there, or not any more. */
export function isAbsent(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

/** A file that became one to pass over between finding and reading it. */
export function lateSkipReason(error: unknown): SkipReason | undefined {
  if (error instanceof FileTooLargeError) return "too_large";
  if (error instanceof NotRegularFileError) return "special";
  if (codeOf(error) === "ELOOP") return "symlink";
  // A socket cannot be opened at all.
  return codeOf(error) === "ENXIO" ? "special" : undefined;
}

function codeOf(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return typeof code === "string" ? code : undefined;
}
