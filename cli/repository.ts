import { createInterface } from "node:readline/promises";
import { IngestionService } from "../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { withClient } from "./connection.ts";
import { count, exitCodes, note, print, printJson } from "./output.ts";

export interface DeleteOptions {
  readonly yes?: boolean;
  readonly tenant?: string;
  readonly json?: boolean;
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
    (client, call) => client.deleteRepository({ repoId }, call()),
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
