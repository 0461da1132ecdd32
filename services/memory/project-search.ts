import { DomainError } from "../../shared/errors.ts";
import { type Call, remainingMs, within } from "./deadline.ts";
import { AllSourcesFailedError } from "./errors.ts";
import type { FeatureSwitches } from "./feature-switches.ts";
import { type MergedHit, mergeHits } from "./merge.ts";
import { LeftAloneError } from "./peer-guard.ts";
import type { CallerFilter, ProjectRegister, Scope } from "./ports.ts";
import { type RelatedProject, relatedProjects } from "./project.ts";
import type { ScoredHit } from "./scoring.ts";
import { failIfNothingCame, type SourceReport, skipped } from "./source-leg.ts";
import type { Source } from "./sources.ts";
import { defaultSearchMs, type SearchAnswer, type UnifiedSearch } from "./unified-search.ts";
import type { EmbeddedQuery } from "./vectors.ts";

export interface ProjectQuestion {
  readonly query: string;
  readonly project: string;
  readonly limit: number;
  readonly minScore: number;
}

export interface ProjectHit {
  readonly hit: MergedHit;
  /** The nearest of the projects that the memory belongs to. */
  readonly related: RelatedProject | undefined;
}

export interface ProjectAnswer {
  readonly results: readonly ProjectHit[];
  readonly reports: readonly SourceReport[];
  readonly projects: readonly RelatedProject[];
}

const relationShare = 0.3;
const mostProjects = 200;
/** Session-Buddy is asked project by project. */
const mostAsked = 20;
const askedAtOnce = 4;

/** Asked of one project after the other, and embedded once. */
interface EmbeddedQuestion extends ProjectQuestion {
  readonly embedded: EmbeddedQuery;
}

/** How one source took part, or why it could not. */
interface Leg {
  readonly hits: readonly MergedHit[];
  readonly report: SourceReport;
  readonly error?: unknown;
}

/** Searches a project and those related to it, in both stores. */
export class ProjectSearch {
  readonly #register: Pick<ProjectRegister, "groups" | "dependencies">;
  readonly #search: Pick<UnifiedSearch, "search" | "embed">;
  readonly #filterOf: (projects: readonly string[]) => CallerFilter;
  readonly #switches: FeatureSwitches;

  constructor(parts: {
    readonly register: Pick<ProjectRegister, "groups" | "dependencies">;
    readonly search: Pick<UnifiedSearch, "search" | "embed">;
    /** Memories of any of these projects. */
    readonly filterOf: (projects: readonly string[]) => CallerFilter;
    readonly switches: FeatureSwitches;
  }) {
    this.#register = parts.register;
    this.#search = parts.search;
    this.#filterOf = parts.filterOf;
    this.#switches = parts.switches;
  }

  /** Where the relations are not to be had, the project alone is searched, and that is reported. */
  async search(question: ProjectQuestion, given: Call): Promise<ProjectAnswer> {
    const call = { ...given, deadline: given.deadline ?? Date.now() + defaultSearchMs };
    const [{ projects, problem }, embedded] = await Promise.all([
      this.#related(call, question.project),
      this.#search.embed(question.query, call),
    ]);
    const asked = { ...question, embedded };
    const [own, theirs] = await Promise.all([
      this.#searchOwn(call, asked, projects),
      this.#searchSessionBuddy(call, asked, projects, problem),
    ]);
    failIfNothingCame([own, theirs]);
    const merged = mergeHits(
      [
        { source: "postgresql", hits: own.hits },
        { source: "session_buddy", hits: theirs.hits },
      ],
      question,
    ).slice(0, question.limit);
    const byName = new Map(projects.map((one) => [one.project, one]));
    return {
      results: merged.map((hit) => ({ hit, related: relatedOf(hit, byName) })),
      reports: [degraded(own.report, problem?.message), theirs.report],
      projects,
    };
  }

  async #related(
    call: Call,
    project: string,
  ): Promise<{
    readonly projects: readonly RelatedProject[];
    readonly problem?: { readonly message: string; readonly error?: unknown };
  }> {
    const alone = relatedProjects(project, [], []);
    const only = "only the project itself was searched";
    if (!this.#switches.reflectionSearch) {
      const message = `${only}: asking Session-Buddy is switched off by enable_reflection_search`;
      return { projects: alone, problem: { message } };
    }
    try {
      const [dependencies, groups] = await within(
        call,
        remainingMs(call, Number.POSITIVE_INFINITY) * relationShare,
        (peerCall) =>
          Promise.all([
            this.#register.dependencies(peerCall, project),
            this.#register.groups(peerCall, project),
          ]),
      );
      const projects = relatedProjects(project, dependencies, groups);
      if (projects.length <= mostProjects) return { projects };
      const message = `only the nearest ${mostProjects} of ${projects.length} projects were searched`;
      return { projects: projects.slice(0, mostProjects), problem: { message } };
    } catch (error) {
      call.signal.throwIfAborted();
      const message = `${only}: its relations could not be read: ${messageOf(error)}`;
      return { projects: alone, problem: { message, error } };
    }
  }

  async #searchOwn(
    call: Call,
    question: EmbeddedQuestion,
    projects: readonly RelatedProject[],
  ): Promise<Leg> {
    const filter = this.#filterOf(projects.map(({ project }) => project));
    return await this.#ask(call, question, "postgresql", { filter });
  }

  async #searchSessionBuddy(
    call: Call,
    question: EmbeddedQuestion,
    projects: readonly RelatedProject[],
    problem: { readonly error?: unknown } | undefined,
  ): Promise<Leg> {
    if (problem?.error !== undefined) return failedLeg("session_buddy", problem.error);
    const left = projects.slice(0, mostAsked).map(({ project }) => project);
    const legs: Leg[] = [];
    const ask = async () => {
      for (let repoId = left.shift(); repoId !== undefined; repoId = left.shift()) {
        legs.push(await this.#ask(call, question, "session_buddy", { repoId }));
      }
    };
    await Promise.all(Array.from({ length: askedAtOnce }, ask));
    const message =
      projects.length > mostAsked
        ? `asked about the nearest ${mostAsked} of ${projects.length} projects`
        : undefined;
    return together(legs, message);
  }

  async #ask(
    call: Call,
    { query, limit, minScore, embedded }: EmbeddedQuestion,
    source: Source,
    scope: Partial<Scope>,
  ): Promise<Leg> {
    const started = performance.now();
    try {
      const answer: SearchAnswer = await this.#search.search(
        {
          query,
          limit,
          minScore,
          sources: [source],
          scope: { ...anywhere, ...scope },
          halfLifeMs: undefined,
          contextTurns: 0,
          page: undefined,
        },
        call,
        embedded,
      );
      const report = answer.reports.find((one) => one.source === source);
      if (report === undefined) throw new Error("a search reports on every source");
      return { hits: answer.results, report };
    } catch (error) {
      call.signal.throwIfAborted();
      if (!(error instanceof AllSourcesFailedError)) throw error;
      return failedLeg(source, error, performance.now() - started);
    }
  }
}

const anywhere: Scope = {
  memoryTypes: [],
  agentId: "",
  repoId: "",
  workflowId: "",
  sessionId: "",
  filter: undefined,
};

/** Of a source that could not be asked, or that is left alone because it failed before. */
function failedLeg(source: Source, error: unknown, latencyMs = 0): Leg {
  const causes = error instanceof AllSourcesFailedError ? error.causes : [error];
  const leftAlone = causes.find((cause) => cause instanceof LeftAloneError);
  if (leftAlone !== undefined) {
    return { hits: [], report: skipped(source, leftAlone.message, true), error };
  }
  const told = error instanceof AllSourcesFailedError ? error.facts[source] : undefined;
  const message = told ?? messageOf(error);
  const report = { source, status: "failed", latencyMs, resultCount: 0, message } as const;
  return { hits: [], report: { ...report, leftAlone: false }, error };
}

function messageOf(error: unknown): string {
  // What a peer calls internal may tell of its inside.
  return error instanceof DomainError && error.kind !== "internal"
    ? error.message
    : "failed inside";
}

/** From good to bad; a source is as bad as the worst of its answers. */
const grades = ["ok", "skipped", "degraded", "failed"] as const;

/** Several answers of one source as one. */
function together(legs: readonly Leg[], message: string | undefined): Leg {
  const [first] = legs;
  if (first === undefined) throw new RangeError("a source is asked about one project at least");
  const lost = legs.filter(({ error }) => error !== undefined);
  const worst = legs.reduce((a, b) =>
    grades.indexOf(b.report.status) > grades.indexOf(a.report.status) ? b : a,
  );
  const partly = lost.length > 0 && lost.length < legs.length;
  const report: SourceReport = {
    ...worst.report,
    status: partly ? "degraded" : worst.report.status,
    latencyMs: Math.max(...legs.map((leg) => leg.report.latencyMs)),
    resultCount: legs.reduce((sum, leg) => sum + leg.report.resultCount, 0),
  };
  return {
    hits: legs.flatMap(({ hits }) => hits),
    report: degraded(report, message),
    ...(lost.length === legs.length ? { error: worst.error } : {}),
  };
}

/** The report with one more reason why the answer is less than it should be. */
function degraded(report: SourceReport, message: string | undefined): SourceReport {
  if (message === undefined || report.status === "failed" || report.status === "skipped") {
    return report;
  }
  const all = [report.message, message].filter((one) => one !== "");
  return { ...report, status: "degraded", message: all.join("; ") };
}

function relatedOf(
  hit: MergedHit,
  byName: ReadonlyMap<string, RelatedProject>,
): RelatedProject | undefined {
  const names = projectsOf(hit);
  // The map stands in order of nearness.
  return [...byName.values()].find(({ project }) => names.has(project));
}

/** The projects of all that was folded into the hit; a workflow may have worked on several. */
function projectsOf(hit: ScoredHit): ReadonlySet<string> {
  const { repoId, metadata } = hit;
  const repos = Array.isArray(metadata["repos"]) ? metadata["repos"] : [];
  const names = new Set<string>([repoId, ...repos.filter((one) => typeof one === "string")]);
  // Merged twice: within each answer, and those with each other.
  for (const one of (hit as Partial<MergedHit>).folded ?? []) {
    if (one !== hit) for (const name of projectsOf(one)) names.add(name);
  }
  return names;
}
