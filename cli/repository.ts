import { createInterface } from "node:readline/promises";
import { IngestionService } from "../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { awaitTurn } from "./await-turn.ts";
import { withClient } from "./connection.ts";
import { count, exitCodes, note, print, printJson } from "./output.ts";

export interface DeleteOptions {
  readonly yes?: boolean;
  readonly tenant?: string;
  readonly json?: boolean;
  /** Seconds to wait where the repository is another's. */
  readonly wait: number;
}

/** Removes a repository from the memory: its chunks and its ingestions. */
export async function deleteRepository(repoId: string, options: DeleteOptions): Promise<void> {
  if (!options.yes && !process.stdin.isTTY) {
    note("say --yes to delete without being asked");
    process.exitCode = exitCodes.usage;
    return;
  }
  if (!options.yes && !(await isConfirmed(repoId))) {
    print("Nothing was deleted.");
    return;
  }
  const { deletedChunks, deletedIngestions } = await withClient(
    "ingestion",
    IngestionService,
    (client, call) =>
      awaitTurn(
        () => client.deleteRepository({ repoId }, call()),
        options.wait * 1000,
        ({ id, secondsLeft }) =>
          note(`Waiting up to ${secondsLeft} s: ${id} holds the repository.`),
      ),
    options.tenant,
  );
  if (options.json) {
    printJson({
      repo_id: repoId,
      deleted_chunks: Number(deletedChunks),
      deleted_ingestions: Number(deletedIngestions),
    });
    return;
  }
  print(
    `Deleted ${repoId}: ${count(deletedChunks)} chunks, ${count(deletedIngestions)} ingestions.`,
  );
}

async function isConfirmed(repoId: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`Delete all that is known of ${repoId}? [y/N] `);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}
