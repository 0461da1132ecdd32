import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** A path that is not a regular file, or no longer one. */
export class NotRegularFileError extends Error {
  override readonly name = "NotRegularFileError";
}

/** A file longer than its reader accepts. */
export class FileTooLargeError extends Error {
  override readonly name = "FileTooLargeError";
}

export interface RegularFile {
  readonly bytes: Buffer;
  readonly stat: BigIntStats;
}

/**
 * Reads a file whole. Safe on paths that somebody changes meanwhile: a symbolic link is not
 * followed (ELOOP), a FIFO or device is neither waited for nor read, and never more than
 * `maxBytes` are held. Throws NotRegularFileError, FileTooLargeError or the system's error. It holds
 * up its thread, which costs a third of what asking other threads for each step does: for threads
 * that read folders.
 */
export function readRegularFile(path: string, maxBytes: number): RegularFile {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stat = fstatSync(file, { bigint: true });
    if (!stat.isFile()) throw new NotRegularFileError("not a regular file");
    if (stat.size > BigInt(maxBytes)) throw new FileTooLargeError("longer than accepted");
    return { bytes: readUpTo(file, Number(stat.size), maxBytes), stat };
  } finally {
    closeSync(file);
  }
}

/** The size is a hint: files grow while they are read, and those of /proc say 0. */
function readUpTo(file: number, expected: number, maxBytes: number): Buffer {
  let buffer = Buffer.allocUnsafe(Math.min(expected, maxBytes) + 1);
  let length = 0;
  for (;;) {
    const bytesRead = readSync(file, buffer, length, buffer.length - length, null);
    if (bytesRead === 0) return buffer.subarray(0, length);
    length += bytesRead;
    if (length > maxBytes) throw new FileTooLargeError("longer than accepted");
    if (length === buffer.length) {
      const grown = Buffer.allocUnsafe(Math.min(buffer.length * 2, maxBytes + 1));
      buffer.copy(grown, 0, 0, length);
      buffer = grown;
    }
  }
}
