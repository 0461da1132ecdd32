import { sleep } from "../../../shared/lifecycle.ts";
import type { Postgres, Queryable } from "../../../shared/postgres/postgres.ts";
import { SqlError, sqlStates } from "../../../shared/postgres/sql-errors.ts";
import type { IndexOrder, IndexProgress } from "../collection.ts";
import { IndexBuildRunningError, PoolTooSmallError } from "../errors.ts";
import { progressOf } from "../index-progress.ts";
import type { StoredCollection } from "./collection-row.ts";
import type { DocumentTable } from "./document-table.ts";
import {
  builtIndex,
  isIndexed,
  sessionSettings,
  specOf,
  tablesWithLeftovers,
} from "./index-facts.ts";
import {
  createIndexStatement,
  dropLeftoversStatements,
  type IndexSpec,
  swapStatements,
  tryBuildLock,
} from "./index-statements.ts";

/** How often progress is told. */
const reportEveryMs = 500;

/** The build, its progress, and one for everybody else. */
const fewestConnections = 3;

/** How long a session that was cancelled may hold its lock before its leftovers are left to others. */
const cleanUpTries = 40;
const cleanUpPauseMs = 250;

export interface IndexBuildOptions {
  /** Most memory that one build takes, in MiB. */
  readonly memoryMb: number;
}

/** What a build is doing, as its own session and its watcher know it. */
interface Course {
  phase: string;
  progress: number;
  /** The server process that builds; undefined until it is known, and on the embedded server. */
  processId: number | undefined;
}

/** Builds of approximate indexes, each in a session of its own. */
export class IndexBuilds implements AsyncDisposable {
  readonly #database: Postgres;
  readonly #options: IndexBuildOptions;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  constructor(database: Postgres, options: IndexBuildOptions) {
    this.#database = database;
    this.#options = options;
  }

  /** Tells the progress of one build; who stops listening ends it. */
  async *run(
    collection: StoredCollection,
    order: IndexOrder,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<IndexProgress> {
    const { embedded } = await this.#database.facts(signal);
    if (!embedded && this.#database.stats().max < fewestConnections) {
      throw new PoolTooSmallError(fewestConnections);
    }
    const started = performance.now();
    const left = new AbortController();
    const ended = AbortSignal.any([
      left.signal,
      this.#closing.signal,
      ...(signal === undefined ? [] : [signal]),
    ]);
    const course: Course = { phase: "initializing", progress: 0, processId: undefined };
    const tell = (built?: IndexProgress["built"]): IndexProgress => {
      const elapsedMs = performance.now() - started;
      const { phase, progress } = course;
      return built === undefined
        ? { phase, progress, elapsedMs, built }
        : { phase: "done", progress: 1, elapsedMs, built };
    };
    let over = false;
    const work = this.#track(
      (embedded ? this.#buildEmbedded : this.#buildBeside)
        .call(this, collection, order, course, ended)
        .finally(() => {
          over = true;
        }),
    );
    // The loop may leave before it looks at the outcome.
    work.catch(() => {});
    try {
      while (!over) {
        yield tell();
        await Promise.race([work, sleep(reportEveryMs, ended).catch(() => {})]);
        if (!over && !ended.aborted) await this.#watch(course, ended);
        if (ended.aborted) break;
      }
      yield tell(await work);
    } finally {
      left.abort(new Error("nobody waits for the index"));
    }
  }

  /** Removes what builds of processes that died have left, unless somebody builds there now. */
  async removeLeftovers(signal: AbortSignal): Promise<void> {
    const { embedded } = await this.#database.facts(signal);
    if (embedded) return;
    for (const table of await tablesWithLeftovers(this.#database, signal)) {
      await this.#database.session(async (session) => {
        if (!(await tryBuildLock(session, table, "session", signal))) return;
        await runAll(session, dropLeftoversStatements(table, true), signal);
      }, signal);
    }
  }

  /** Ends what runs, and waits until its leftovers are removed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the service is stopping"));
    // A build that ends begins to clean up.
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  /** While others read and write; a failure leaves an index that is not valid, and is removed. */
  async #buildBeside(
    collection: StoredCollection,
    order: IndexOrder,
    course: Course,
    signal: AbortSignal,
  ): Promise<NonNullable<IndexProgress["built"]>> {
    const { table } = collection;
    let begun = false;
    try {
      return await this.#database.session(async (session) => {
        if (!(await tryBuildLock(session, table, "session", signal))) {
          throw new IndexBuildRunningError(collection.name);
        }
        const spec = await specOf(session, table, order, signal);
        const missingOnly = order.kind === "hnsw" && order.ifMissing === true;
        if (missingOnly && (await isIndexed(session, table, signal))) {
          return await builtIndex(session, table, spec, signal);
        }
        const settings = await sessionSettings(session, table, spec, this.#options, signal);
        await runAll(session, settings, signal);
        course.processId = await processIdOf(session, signal);
        begun = true;
        await create(session, table, spec, signal);
        // From here on it is a matter of milliseconds, but for searches that use the old one.
        await runAll(session, ["begin", ...swapStatements(table), "commit"], signal);
        await runAll(session, dropLeftoversStatements(table, true), signal);
        return await builtIndex(session, table, spec, signal);
      }, signal);
    } catch (error) {
      if (begun) this.#track(this.#cleanUp(table));
      throw error;
    }
  }

  /**
   * In one transaction, in which nobody else does anything; the embedded server can neither build
   * beside others nor be stopped while it does.
   */
  async #buildEmbedded(
    collection: StoredCollection,
    order: IndexOrder,
    course: Course,
    signal: AbortSignal,
  ): Promise<NonNullable<IndexProgress["built"]>> {
    const { table } = collection;
    return await this.#database.session(async (session) => {
      const spec = await specOf(session, table, order, signal);
      course.phase = "building index";
      const memory = `set local maintenance_work_mem = '${this.#options.memoryMb}MB'`;
      await runAll(
        session,
        [
          "begin",
          memory,
          ...dropLeftoversStatements(table, false),
          createIndexStatement(table, spec, false),
          ...swapStatements(table),
          ...dropLeftoversStatements(table, false),
        ],
        signal,
      );
      const built = await builtIndex(session, table, spec, signal);
      await session.query("commit", [], signal);
      return built;
    }, signal);
  }

  /** Asks another session how far the build is. */
  async #watch(course: Course, signal: AbortSignal): Promise<void> {
    if (course.processId === undefined) return;
    try {
      const { rows } = await this.#database.query<ReportRow>(
        `select phase, blocks_done::float8, blocks_total::float8, tuples_done::float8,
          tuples_total::float8
        from pg_stat_progress_create_index where pid = $1`,
        [course.processId],
        signal,
      );
      const row = rows[0];
      if (row === undefined) return;
      course.phase = row.phase;
      const progress = progressOf({
        phase: row.phase,
        blocksDone: row.blocks_done,
        blocksTotal: row.blocks_total,
        tuplesDone: row.tuples_done,
        tuplesTotal: row.tuples_total,
      });
      course.progress = Math.max(course.progress, progress);
    } catch {
      // A busy pool, or the end of the call: the build goes on, and says itself how it ends.
    }
  }

  /** Whoever builds next does the same, so that giving up loses nothing but disk space. */
  async #cleanUp(table: DocumentTable): Promise<void> {
    for (let tries = 0; tries < cleanUpTries; tries++) {
      const done = await this.#database
        .session(async (session) => {
          if (!(await tryBuildLock(session, table, "session"))) return false;
          await runAll(session, dropLeftoversStatements(table, true));
          return true;
        })
        // The database may be away, which is why the build failed.
        .catch(() => false);
      if (done) return;
      await sleep(cleanUpPauseMs);
    }
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    const forget = () => this.#running.delete(work);
    work.then(forget, forget);
    return work;
  }
}

interface ReportRow {
  readonly phase: string;
  readonly blocks_done: number;
  readonly blocks_total: number;
  readonly tuples_done: number;
  readonly tuples_total: number;
}

async function processIdOf(session: Queryable, signal: AbortSignal): Promise<number | undefined> {
  const { rows } = await session.query<{ id: number }>("select pg_backend_pid() as id", [], signal);
  return rows[0]?.id;
}

/**
 * Workers of a parallel build share memory that a container may not have as much of as the server
 * was told to use; then one process builds alone.
 */
async function create(
  session: Queryable,
  table: DocumentTable,
  spec: IndexSpec,
  signal: AbortSignal,
): Promise<void> {
  const attempt = async () => {
    await runAll(session, dropLeftoversStatements(table, true), signal);
    await session.query(createIndexStatement(table, spec, true), [], signal);
  };
  try {
    await attempt();
  } catch (error) {
    if (!(error instanceof SqlError) || error.sqlState !== sqlStates.diskFull) throw error;
    await session.query("set max_parallel_maintenance_workers = 0", [], signal);
    await attempt();
  }
}

async function runAll(
  session: Queryable,
  statements: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  for (const statement of statements) await session.query(statement, [], signal);
}
