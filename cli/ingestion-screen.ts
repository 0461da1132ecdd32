import {
  type IngestionProgress,
  IngestionStage,
  IngestionStatus,
} from "../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import type { FollowEvent } from "./follow-ingestion.ts";
import { stageName } from "./ingestion-names.ts";
import type { IngestionReporter } from "./ingestion-reporter.ts";
import { printSummary, stepLine } from "./ingestion-summary.ts";
import { LiveDisplay } from "./live-display.ts";
import { clock, count, print, secondsOf } from "./output.ts";
import { bar, percent, rateText } from "./progress.ts";
import { Rate } from "./rate.ts";

/** How far one part of an ingestion is. */
export interface Part {
  readonly name: string;
  /** 0 to 1; undefined while that is not known. */
  readonly share: number | undefined;
  readonly words: string;
}

/** Shows people how an ingestion goes: a bar for each part of the work, and a summary. */
export class IngestionScreen implements IngestionReporter {
  readonly #display = new LiveDisplay();
  readonly #title: string;
  readonly #hint: string;
  readonly #files = new Rate();
  readonly #chunks = new Rate();
  #stage: IngestionStage | undefined;
  #newest: IngestionProgress | undefined;

  constructor(title: string, hint: string) {
    this.#title = title;
    this.#hint = hint;
  }

  onEvent(event: FollowEvent): void {
    if (event.kind === "progress") this.#onProgress(event.progress);
    else if (event.kind === "attached") this.#display.say("Attached again; the ingestion goes on.");
    else if (event.attempt === 1) {
      this.#display.say(`Lost touch of ingestion ${event.ingestionId}: ${event.reason}.`);
      this.#onLost(event.secondsLeft);
    } else this.#onLost(event.secondsLeft);
  }

  onEnd(progress: IngestionProgress): void {
    this.close();
    printSummary(progress);
  }

  onStep(progress: IngestionProgress): void {
    this.#display.clear();
    this.#stage = undefined;
    print(stepLine(progress));
  }

  onNote(_event: string, _facts: unknown, words: string): void {
    this.#display.say(words);
  }

  close(): void {
    this.#display.clear();
  }

  #onProgress(progress: IngestionProgress): void {
    const now = performance.now();
    this.#newest = progress;
    this.#files.add(Number(progress.filesDone), now);
    this.#chunks.add(Number(progress.chunksEmbedded), now);
    this.#draw(progress, this.#hint);
    const { stage } = progress;
    const isNew = stage !== this.#stage;
    this.#stage = stage;
    // The summary tells the end, and of a short run that is enough.
    if (stage === IngestionStage.DONE) return;
    const isDue = isNew && secondsOf(progress.elapsed) >= 1;
    this.#display.tell(plainLine(progress, this.#files.perSecond), isDue);
  }

  #onLost(secondsLeft: number): void {
    const words = `reattaching, for ${clock(secondsLeft)} at most`;
    this.#display.tell(words);
    if (this.#newest === undefined) this.#display.draw([words]);
    else this.#draw(this.#newest, words);
  }

  #draw(progress: IngestionProgress, hint: string): void {
    const parts = partsOf(progress, this.#files.perSecond, this.#chunks.perSecond);
    const lines = parts.map(({ name, share, words }) => {
      const shown = share === undefined ? "" : `${bar(share)}  ${percent(share)}  `;
      return `  ${name.padEnd(7)}${shown}${words}`;
    });
    const { chunksStored, chunksUnchanged, chunksDeleted, currentFile, slowest } = progress;
    const stored = `${count(chunksStored)} chunks stored, ${count(chunksUnchanged)} unchanged, ${count(chunksDeleted)} removed`;
    const pace = slowest === "" ? "" : `, slowest part: ${slowest}`;
    this.#display.draw([
      `${this.#title}  ${clock(secondsOf(progress.elapsed))}`,
      ...lines,
      `  ${stored}${pace}`,
      `  ${currentFile}`,
      `  ${hint}`,
    ]);
  }
}

/** The parts of an ingestion in the order in which a file goes through them. */
export function partsOf(
  progress: IngestionProgress,
  filesPerSecond: number,
  chunksPerSecond: number,
): Part[] {
  const [total, read, done] = [progress.filesTotal, progress.filesRead, progress.filesDone].map(
    Number,
  ) as [number, number, number];
  const { stage, chunksSplit, chunksEmbedded } = progress;
  if (progress.status === IngestionStatus.PENDING) {
    return [{ name: "walk", share: undefined, words: "waits for its turn" }];
  }
  const walked = stage !== IngestionStage.SCANNING;
  const walk = { name: "walk", share: walked ? 1 : undefined, words: `${count(total)} files` };
  if (!walked) return [walk];
  const readShare = shareOf(read, total);
  // Further files will have further chunks, so the share of those known is that of the files read.
  const embedShare = readShare * shareOf(Number(chunksEmbedded), Number(chunksSplit));
  const words = (...some: string[]) => some.filter((one) => one !== "").join("  ");
  const parts: Part[] = [
    walk,
    { name: "split", share: readShare, words: `${count(read)}/${count(total)} files` },
    {
      name: "embed",
      share: embedShare,
      words: words(
        `${count(chunksEmbedded)}/${count(chunksSplit)} chunks`,
        chunksPerSecond > 0 ? rateText(chunksPerSecond) : "",
      ),
    },
    {
      name: "store",
      share: shareOf(done, total),
      words: words(
        `${count(done)}/${count(total)} files`,
        filesPerSecond > 0 ? rateText(filesPerSecond) : "",
        filesPerSecond > 0 && done < total
          ? `${clock(Math.ceil((total - done) / filesPerSecond))} left`
          : "",
      ),
    },
  ];
  if (stage === IngestionStage.CLEANING) {
    const removed = `${count(progress.chunksDeleted)} chunks removed`;
    parts.push({ name: "clean", share: undefined, words: removed });
  }
  return parts;
}

/** Where nothing is to be done all of it is done. */
function shareOf(done: number, total: number): number {
  return total === 0 ? 1 : Math.min(1, done / total);
}

/** `[0:12] ingesting: 128/412 files (31 %), 1,020 chunks stored, 11.0/s, 0:25 left`. */
export function plainLine(progress: IngestionProgress, filesPerSecond: number): string {
  const [total, done] = [Number(progress.filesTotal), Number(progress.filesDone)];
  const at = `[${clock(secondsOf(progress.elapsed))}]`;
  if (progress.status === IngestionStatus.PENDING) return `${at} waits for its turn`;
  const label = `${at} ${stageName(progress.stage)}`;
  if (progress.stage === IngestionStage.SCANNING) return `${label}: ${count(total)} files found`;
  const facts = [
    `${count(done)}/${count(total)} files (${percent(shareOf(done, total)).trim()})`,
    `${count(progress.chunksStored)} chunks stored`,
  ];
  if (progress.filesFailed > 0n) facts.push(`${count(progress.filesFailed)} failed`);
  if (filesPerSecond > 0) {
    facts.push(rateText(filesPerSecond));
    if (done < total) facts.push(`${clock(Math.ceil((total - done) / filesPerSecond))} left`);
  }
  return `${label}: ${facts.join(", ")}`;
}
