import { Command, InvalidArgumentError, Option } from "commander";
import { ConfigError } from "../shared/config.ts";
import { version } from "../shared/version.ts";
import { CallFailure } from "./connection.ts";
import { LostTouchError } from "./follow-ingestion.ts";
import { health } from "./health.ts";
import { statusNames } from "./ingestion-names.ts";
import { exitCodes, note } from "./output.ts";
import { remember } from "./remember.ts";
import { type MemoryTypeName, memoryTypes, search } from "./search.ts";

// What draws and watches is loaded by those commands alone that do.
const ingestions = () => import("./ingestions.ts");

const program = new Command("mahavishnu")
  .description("The command line of Mahavishnu Memory: a client of its services like any other.")
  .version(version)
  .showHelpAfterError("(--help shows what there is)")
  .addHelpText(
    "after",
    `
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 unhealthy, 4 lost touch of an ingestion that may go
on, 130 stopped by Ctrl-C.
Addresses come from MAHAVISHNU_MEMORY_ADDRESS, MAHAVISHNU_INGESTION_ADDRESS and
MAHAVISHNU_HEALTH_ADDRESS; start the services with: npm start`,
  )
  .exitOverride((error) => process.exit(error.exitCode === 0 ? exitCodes.ok : exitCodes.usage));

const tenant = () => new Option("--tenant <name>", "whose memory to use (default: default)");
const json = () => new Option("--json", "print one JSON document instead of a table");
const jsonLines = () => new Option("--json", "print one JSON object a line, as things happen");
const reattach = () =>
  new Option("--reattach <seconds>", "how long to try to reattach where the service is lost")
    .argParser(integer(0, 86_400))
    .default(120);

const wait = () =>
  new Option("--wait <seconds>", "how long to wait where another process is at it; 0: not at all")
    .argParser(integer(0, 86_400))
    .default(40);

program
  .command("search <query>")
  .description("ask all stores one question and get one ranked list")
  .option("-n, --limit <count>", "at most this many results, 1 to 1000", integer(1, 1000), 10)
  .option("--min-score <score>", "leave out results below this score, 0 to 1", share, 0)
  .option(
    "-t, --type <type>",
    "only this type, may be repeated: agent, rag, workflow, insight",
    type,
  )
  .option("--agent <id>", "only memories of this agent")
  .option("--repo <id>", "only memories of this repository")
  .option("--workflow <id>", "only memories of this workflow")
  .option("--session <id>", "only memories of this session")
  .addOption(tenant())
  .addOption(json())
  .action(search);

program
  .command("remember <text>")
  .description("store a text; - reads it from standard input")
  .addOption(
    new Option("-t, --type <type>", "what it is")
      .choices(["agent", "workflow", "insight"])
      .default("agent"),
  )
  .option("--agent <id>", "the agent that it belongs to")
  .option("--repo <id>", "the repository that it belongs to")
  .option("--workflow <id>", "the workflow that it belongs to")
  .addOption(tenant())
  .addOption(json())
  .action(remember);

program
  .command("ingest <path>")
  .description("bring a folder's files into the memory; again to bring it up to date")
  .option("--repo <id>", "the repository's name in the memory (default: the folder's name)")
  .option(
    "--include <pattern>",
    "only files that match, in .gitignore syntax; may be repeated",
    more,
  )
  .option("--exclude <pattern>", "no files that match, in .gitignore syntax; may be repeated", more)
  .option("--chunk-size <tokens>", "largest chunk, 16 to 8192 (default: 1024)", integer(16, 8192))
  .option(
    "--chunk-overlap <tokens>",
    "shared with the chunk before (default: 20)",
    integer(0, 4096),
  )
  .addOption(new Option("--detach", "start it, print its id and leave").conflicts("watch"))
  .option("--watch", "ingest again whenever something in the folder changes, until Ctrl-C")
  .addOption(reattach())
  .addOption(wait())
  .addOption(tenant())
  .addOption(jsonLines())
  .addHelpText(
    "after",
    `
The folder is read by the service, which must see it under the same path. Progress goes to standard
error: bars on a terminal, else a line now and then. What became of it goes to standard output.
A lost connection does not stop an ingestion, and neither does a service that dies: this command
reattaches. Ctrl-C asks the service to cancel; what is stored stays, and ingesting again goes on from
there. A second Ctrl-C leaves at once.

With --watch, what .gitignore, .mahavishnuignore and --exclude name is not watched, nor are .git and
node_modules. Ctrl-C ends it.

With --json the events are: progress, lost, attached, cancelling, not_cancelled, left, detached,
watching, changed, waiting, elsewhere, and at the end of each ingestion done.

Exit codes: 0 completed (single files may have failed; they are listed) or detached, 1 failed or
cancelled by somebody else, 4 lost touch: the ingestion may go on, 130 stopped by Ctrl-C.`,
  )
  .action(async (path, options) => (await import("./ingest.ts")).ingest(path, options));

const ingestionsCommand = program
  .command("ingestions")
  .description("list, show, follow and cancel ingestions");

ingestionsCommand
  .command("list", { isDefault: true })
  .description("list ingestions, newest first")
  .option("--repo <id>", "only those of this repository")
  .addOption(new Option("--status <status>", "only those in this state").choices(statusNames))
  .option("-n, --limit <count>", "at most this many, 1 to 100000", integer(1, 100_000), 20)
  .addOption(tenant())
  .addOption(json())
  .action(async (options) => (await ingestions()).listIngestions(options));

ingestionsCommand
  .command("show <id>")
  .description("show one ingestion: how far it is, what it stored and what it passed over")
  .addOption(tenant())
  .addOption(json())
  .action(async (id, options) => (await ingestions()).showIngestion(id, options));

ingestionsCommand
  .command("watch <id>")
  .description("follow an ingestion, whoever began it, until it ends; Ctrl-C leaves it alone")
  .addOption(reattach())
  .addOption(tenant())
  .addOption(jsonLines())
  .action(async (id, options) => (await ingestions()).watchIngestion(id, options));

ingestionsCommand
  .command("cancel <id>")
  .description("stop an ingestion after the batch in flight; what is stored stays")
  .addOption(tenant())
  .addOption(json())
  .action(async (id, options) => (await ingestions()).cancelIngestion(id, options));

program
  .command("repository")
  .description("what is known of a repository")
  .command("delete <repo-id>")
  .description("remove a repository from the memory: its chunks and its ingestions")
  .option("-y, --yes", "do not ask")
  .addOption(wait())
  .addOption(tenant())
  .addOption(json())
  .action(async (id, options) => (await import("./repository.ts")).deleteRepository(id, options));

program
  .command("migrate")
  .description("bring in what other programs have stored")
  .command("session-buddy [path]")
  .description(
    "copy a Session-Buddy file into the memory; again to go on, or to bring in what is new",
  )
  .option("--dry-run", "read and count only")
  .option("--time-zone <name>", "the writer's IANA time zone (default: the bridge's)")
  .addOption(wait())
  .addOption(tenant())
  .addOption(json())
  .action(async (path, options) =>
    (await import("./migrate.ts")).migrateSessionBuddy(path, options),
  );

program
  .command("health")
  .description("show the state of every component")
  .addOption(json())
  .action(health);

// Whoever reads may leave early, as `head` does.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(exitCodes.ok);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof LostTouchError) {
    note(
      `${error.message}. It may go on; try: npx mahavishnu ingestions watch ${error.ingestionId}`,
    );
    process.exit(exitCodes.lost);
  }
  const known = error instanceof CallFailure || error instanceof ConfigError;
  note(known ? error.message : String(error instanceof Error ? error.stack : error));
  process.exitCode = exitCodes.failure;
}

/** Adds to the values of an option that may be repeated. */
function more(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

function type(value: string, before: readonly MemoryTypeName[] = []): MemoryTypeName[] {
  const known = memoryTypes.find((name) => name === value);
  if (known === undefined) {
    throw new InvalidArgumentError(`Allowed choices are ${memoryTypes.join(", ")}.`);
  }
  return [...before, known];
}

function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`must be a whole number from ${min} to ${max}.`);
  };
}

function share(text: string): number {
  const value = Number(text);
  if (text !== "" && value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError("must be a number from 0 to 1.");
}
