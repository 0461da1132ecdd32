import { basename } from "node:path";
import type { Logger } from "../../shared/logging.ts";
import { filesBeside } from "./files-beside.ts";
import { SessionBuddyFile } from "./session-buddy-file.ts";
import type { Signature, UnreadFile } from "./store.ts";

export interface SessionBuddyFilesOptions {
  readonly path: string;
  /** Files of the knowledge graph; undefined: those beside the file. */
  readonly graphFiles?: readonly string[] | undefined;
  /** Where copies of held files are made. */
  readonly snapshotDirectory: string;
  /** Whether the file is made where there is none. */
  readonly create: boolean;
  readonly logger: Logger;
}

/** Session-Buddy's file and those that its versions put beside it, which come and go. */
export class SessionBuddyFiles {
  readonly main: SessionBuddyFile;
  readonly #options: SessionBuddyFilesOptions;

  constructor(options: SessionBuddyFilesOptions) {
    this.#options = options;
    this.main = new SessionBuddyFile(options);
  }

  async beside(): Promise<SessionBuddyFile[]> {
    const { path, graphFiles } = this.#options;
    const paths = await filesBeside(path, graphFiles);
    return paths.map((one) => new SessionBuddyFile({ ...this.#options, path: one, create: false }));
  }

  /** Of all of them; undefined where there is no file itself. */
  async signature(): Promise<Signature | undefined> {
    const main = await this.main.signature();
    return main === undefined ? undefined : await this.signatureWith(main);
  }

  /** With that of the file itself, which its holder knows. */
  async signatureWith(main: Signature): Promise<Signature> {
    const beside = await this.beside();
    return [main, ...(await Promise.all(beside.map((file) => this.signatureOf(file))))].join("|");
  }

  /** One that is gone or cannot be looked at has a signature too. */
  async signatureOf(file: SessionBuddyFile): Promise<Signature> {
    const signature = await file.signature().catch(() => "unreadable");
    return `${file.path} ${signature ?? "absent"}`;
  }
}

/** What to say of a file whose log could not be replayed. */
export function logLeftOut(path: string): UnreadFile {
  const file = `${basename(path)}.wal`;
  return { file, why: `${path}.wal cannot be replayed here: the newest changes are missing` };
}
