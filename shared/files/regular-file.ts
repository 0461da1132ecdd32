import type { BigIntStats } from "node:fs";
import { constants, type FileHandle, open } from "node:fs/promises";

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
 * `maxBytes` are held. Throws NotRegularFileError, FileTooLargeError or the system's error.
 */
export async function readRegularFile(path: string, maxBytes: number): Promise<RegularFile> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stat = await handle.stat({ bigint: true });
    if (!stat.isFile()) throw new NotRegularFileError("not a regular file");
    if (stat.size > BigInt(maxBytes)) throw new FileTooLargeError("longer than accepted");
    return { bytes: await readUpTo(handle, Number(stat.size), maxBytes), stat };
  } finally {
    await handle.close();
  }
}

/** The size is a hint: files grow while they are read, and those of /proc say 0. */
async function readUpTo(handle: FileHandle, expected: number, maxBytes: number): Promise<Buffer> {
  let buffer = Buffer.allocUnsafe(Math.min(expected, maxBytes) + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
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
