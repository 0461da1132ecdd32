import { DomainError } from "../../shared/errors.ts";
import type { PlannedFile } from "./planned-file.ts";
import type { Embedder, ItemFailure, PassageStore, Work } from "./ports.ts";

/** How long a part of a batch that failed may go on failing, in milliseconds. */
const isolationPatienceMs = 15_000;

export interface Isolation {
  /** Rejects with a DomainError where a peer does not take the files, however often it is asked. */
  readonly commit: (files: readonly PlannedFile[], patienceMs: number) => Promise<void>;
  readonly patienceMs: number;
  readonly model: string;
  readonly peers: { readonly embedder: Embedder; readonly passages: PassageStore };
  readonly work: Work;
  readonly isDone: (file: PlannedFile) => boolean;
  /** A file that no peer takes though all of them work. */
  readonly onPoison: (file: PlannedFile, failure: ItemFailure, error: unknown) => void;
}

/**
 * Commits files. Where a batch fails and the peers work, it is halved until the files are found
 * that a peer does not take; these fail alone. Rejects where the peers themselves do not work.
 */
export async function isolating(files: readonly PlannedFile[], by: Isolation): Promise<void> {
  await attempt(files, by, by.patienceMs);
}

async function attempt(
  files: readonly PlannedFile[],
  by: Isolation,
  patienceMs: number,
): Promise<void> {
  let failure: DomainError;
  try {
    await by.commit(files, patienceMs);
    return;
  } catch (error) {
    by.work.signal.throwIfAborted();
    if (!(error instanceof DomainError)) throw error;
    failure = error;
  }
  if (!(await answers(by))) throw failure;
  const rest = files.filter((file) => !by.isDone(file));
  const [only] = rest;
  if (rest.length === 1 && only !== undefined) {
    const { kind, reason, message } = failure;
    by.onPoison(only, { kind, reason, message }, failure);
    return;
  }
  const shorter = Math.min(patienceMs, isolationPatienceMs);
  const middle = Math.ceil(rest.length / 2);
  for (const half of [rest.slice(0, middle), rest.slice(middle)]) {
    if (half.length > 0) await attempt(half, by, shorter);
  }
}

/** Whether the peers do for harmless words what they do not for the files. */
async function answers({ peers, model, work }: Isolation): Promise<boolean> {
  try {
    const [embedded] = await peers.embedder.embed(work, model, "search_document", ["a few words"]);
    await peers.passages.model(work);
    return embedded !== undefined && "vector" in embedded;
  } catch (error) {
    work.signal.throwIfAborted();
    if (!(error instanceof DomainError)) throw error;
    return false;
  }
}
