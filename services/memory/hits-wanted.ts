import type { Period } from "./named-time.ts";
import type { Scope } from "./ports.ts";
import { poolSize } from "./scoring.ts";

/** How many hits to ask each source for, to know the best so many of all. */
export interface HitsWanted {
  readonly postgresql: number;
  readonly session_buddy: number;
  /** Of our own, where turns are among them. */
  readonly amongTurns: number;
}

const mostHits = 1_000;
/** What ages is chosen from so many times as many hits as are wanted. */
const agedTimes = 3;
/** Beside as many hits as are wanted: for those that fold into one, and to know of a next page. */
const spareHits = 10;

/** As many as a search may ask for. */
export const mostWanted: HitsWanted = {
  postgresql: mostHits,
  session_buddy: mostHits,
  amongTurns: mostHits,
};

/**
 * More where a lower hit may come up: turns by their neighbours, anything by its age or by the time
 * that the query names. `turns`: whether there may be any.
 */
export function hitsWanted(
  {
    limit,
    page,
    halfLifeMs,
  }: {
    readonly limit: number;
    readonly page: { readonly seen: number } | undefined;
    readonly halfLifeMs: number | undefined;
  },
  { turns, period }: { readonly turns: boolean; readonly period: Period | undefined },
): HitsWanted {
  const aged = halfLifeMs === undefined ? 0 : limit * agedTimes;
  const moves = halfLifeMs !== undefined || period !== undefined;
  const most = (pooled: boolean) => {
    const count = pooled ? poolSize(limit) : limit + spareHits;
    return Math.min(mostHits, (page?.seen ?? 0) + Math.max(count, aged));
  };
  return { postgresql: most(moves || turns), session_buddy: most(moves), amongTurns: most(true) };
}

export function mayFindTurns({ memoryTypes }: Scope): boolean {
  return memoryTypes.length === 0 || memoryTypes.includes("agent");
}

/** Whether a source that was asked for so many hits may have more that count. */
export function isCutOff(
  hits: readonly { readonly score: number }[],
  asked: number,
  minScore: number,
): boolean {
  return asked < mostHits && hits.length >= asked && hits.every(({ score }) => score >= minScore);
}
