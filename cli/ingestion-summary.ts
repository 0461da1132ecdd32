import {
  type IngestionProgress,
  IngestionStatus,
  type SkippedFile,
} from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { statusName } from "./ingestion-names.ts";
import { coloured, count, duration, print } from "./output.ts";
import { renderTable } from "./table.ts";

/** Reasons for which files are passed over, in words. */
const reasonWords: Readonly<Record<string, string>> = {
  secret: "may hold credentials",
  secret_found: "a token or private key stands in it",
  file_type: "no known type; --include takes it in",
  ignored: "a .gitignore or .mahavishnuignore names it",
  excluded: "build output, installed packages, or --exclude",
  not_included: "--include does not name it",
  generated: "lock file, generated or minified code",
  binary: "not text",
  empty: "empty",
  too_large: "larger than the service takes",
  symlink: "symbolic link",
  special: "no regular file",
  set_aside: "processes died over it; taken again when it changes",
};

/** The service tells some more, which --json shows. */
const maxExamples = 3;

/** Prints what an ingestion came to: what is stored, what was passed over and why, what failed. */
export function printSummary(progress: IngestionProgress): void {
  print(headline(progress));
  if (!["", statusName(progress.status)].includes(progress.message)) print(progress.message);
  print(
    renderTable(
      ["what", "count"],
      [
        ["files found", count(progress.filesTotal)],
        ["files done", count(progress.filesDone - progress.filesFailed)],
        ["files failed", count(progress.filesFailed)],
        ["chunks stored", count(progress.chunksStored)],
        ["chunks unchanged", count(progress.chunksUnchanged)],
        ["chunks removed", count(progress.chunksDeleted)],
      ],
    ),
  );
  const skipped = skippedRows(progress);
  if (skipped.length > 0) print(renderTable(["passed over", "count", "why", "such as"], skipped));
  const found = progress.skippedExamples.filter(({ detail }) => detail !== "");
  if (found.length > 0) {
    const rows = found.map(({ path, detail }) => [path, detail]);
    print(renderTable(["passed over for what is in it", "where"], rows));
  }
  if (progress.errors.length > 0) {
    const rows = progress.errors.map(({ path, error }) => [path, error?.message ?? ""]);
    print(renderTable([`failed (${count(progress.filesFailed)})`, "why"], rows));
    const left = progress.filesFailed - BigInt(progress.errors.length);
    if (left > 0n) print(`and ${count(left)} more.`);
  }
}

/** `Ingestion 0197… completed in 1.2 s, most of it embed.` */
export function headline(progress: IngestionProgress): string {
  const { status, slowest, elapsed } = progress;
  const name = statusName(status);
  const isGood = status === IngestionStatus.COMPLETED && progress.filesFailed === 0n;
  const colour = isGood ? "green" : status === IngestionStatus.FAILED ? "red" : "yellow";
  const took = duration(elapsed?.seconds ?? 0n, elapsed?.nanos ?? 0);
  const pace = slowest === "" ? "" : `, slowest part: ${slowest}`;
  return `Ingestion ${progress.ingestionId} ${coloured(colour, name)} in ${took}${pace}.`;
}

/** A run that keeps a repository in step, on one line. */
export function stepLine(progress: IngestionProgress): string {
  const { status, chunksStored, chunksDeleted, filesFailed, elapsed, message } = progress;
  const at = new Date().toTimeString().slice(0, 8);
  const took = duration(elapsed?.seconds ?? 0n, elapsed?.nanos ?? 0);
  const facts = [
    `${count(chunksStored)} chunks stored`,
    `${count(chunksDeleted)} removed`,
    ...(filesFailed > 0n ? [`${count(filesFailed)} files failed`] : []),
    took,
  ].join(", ");
  const how = status === IngestionStatus.COMPLETED ? "in step" : statusName(status);
  return `${at}  ${how}: ${facts}${message === "" ? "" : `, ${message}`}`;
}

/** What may hold credentials first, then what there is most of. */
function skippedRows(progress: IngestionProgress): string[][] {
  const isSecret = (reason: string) => reason.startsWith("secret");
  return Object.entries(progress.filesSkipped)
    .sort(([a, m], [b, n]) => Number(isSecret(b)) - Number(isSecret(a)) || Number(n - m))
    .map(([reason, files]) => [
      isSecret(reason) ? coloured("yellow", reason) : reason,
      count(files),
      reasonWords[reason] ?? "",
      examplesOf(reason, files, progress.skippedExamples),
    ]);
}

function examplesOf(reason: string, files: bigint, examples: readonly SkippedFile[]): string {
  const paths = examples
    .filter((one) => one.reason === reason)
    .slice(0, maxExamples)
    .map(({ path }) => path);
  if (paths.length === 0) return "";
  return paths.join(", ") + (files > BigInt(paths.length) ? ", …" : "");
}
