/** A row of pg_stat_progress_create_index. */
export interface BuildReport {
  readonly phase: string;
  readonly blocksDone: number;
  readonly blocksTotal: number;
  readonly tuplesDone: number;
  readonly tuplesTotal: number;
}

/**
 * Where each phase begins and how far it goes, 0 to 1, by how long they take: first what matches.
 * A concurrent build reads the table twice; what it waits for in between has no measure.
 */
const phases: readonly (readonly [part: string, from: number, to: number])[] = [
  ["before build", 0, 0],
  ["initializing", 0, 0],
  ["performing k-means", 0.02, 0.3],
  ["assigning tuples", 0.3, 0.85],
  ["loading tuples", 0, 0.9],
  ["before validation", 0.9, 0.9],
  ["scanning index", 0.9, 0.92],
  ["sorting tuples", 0.92, 0.94],
  ["scanning table", 0.94, 0.98],
  ["old snapshots", 0.98, 0.98],
];

/** How far a build is, 0 to 1, as far as its phase can tell. */
export function progressOf(report: BuildReport): number {
  const phase = phases.find(([part]) => report.phase.includes(part));
  if (phase === undefined) return 0;
  const [part, from, to] = phase;
  const share =
    part === "loading tuples" && report.blocksTotal === 0
      ? ratio(report.tuplesDone, report.tuplesTotal)
      : ratio(report.blocksDone, report.blocksTotal);
  return from + (to - from) * share;
}

function ratio(done: number, total: number): number {
  return total > 0 ? Math.min(1, done / total) : 0;
}
