import { DomainError } from "../../shared/errors.ts";
import type { Logger } from "../../shared/logging.ts";
import { type Call, remainingMs, within } from "./deadline.ts";
import type { InsightOfText, ToldInsight } from "./insight-memory.ts";
import type { OutboxItem, OutboxStore } from "./outbox-store.ts";
import type { Bridge } from "./ports.ts";

/** How long a store waits for Session-Buddy, at most this and no more than this share of its time. */
const nowBudgetMs = 500;
const nowShare = 0.2;
const workerBudgetMs = 10_000;
const firstRetryMs = 2_000;
const lastRetryMs = 300_000;

type InsightItem = Extract<OutboxItem, { kind: "insight" }>;

/**
 * Hands insights to Session-Buddy. Each waits in our outbox until the bridge says that it holds it:
 * in Session-Buddy's file, or durably in the queue that it empties itself. It goes under the outbox item's id, so that it arrives once however often
 * it is sent.
 */
export class Deliveries {
  readonly #store: OutboxStore;
  readonly #bridge: Bridge;
  readonly #leaseMs: number;
  readonly #sharing: boolean;
  readonly #logger: Logger;

  constructor(parts: {
    readonly store: OutboxStore;
    readonly bridge: Bridge;
    /** Longer than any attempt takes. */
    readonly leaseMs: number;
    /** Whether insights are handed over at all. */
    readonly sharing: boolean;
    readonly logger: Logger;
  }) {
    this.#store = parts.store;
    this.#bridge = parts.bridge;
    this.#leaseMs = parts.leaseMs;
    this.#sharing = parts.sharing;
    this.#logger = parts.logger;
  }

  /** Tries at once what a call has stored, briefly; never fails a call that is durable already. */
  async deliverNow(call: Call, insights: readonly InsightOfText[]): Promise<ToldInsight[]> {
    if (insights.length === 0) return [];
    if (!this.#sharing) {
      return insights.map((insight) => ({ ...insight, deliveryState: undefined }));
    }
    try {
      const waiting = await this.#tryNow(
        call,
        insights.map(({ memory }) => memory.id),
      );
      return insights.map((insight) => ({
        ...insight,
        deliveryState: waiting.has(insight.memory.id) ? "queued" : "delivered",
      }));
    } catch (error) {
      // They are in the outbox: the worker finds them there, whatever went wrong here.
      this.#logger.warn({ err: error }, "insights could not be handed over at once");
      return insights.map((insight) => ({ ...insight, deliveryState: "queued" }));
    }
  }

  /** Which of the insights wait after a brief try. */
  async #tryNow(call: Call, ids: readonly string[]): Promise<ReadonlySet<string>> {
    const { tenant, signal } = call;
    const items = await this.#store.takeInsights(tenant, ids, this.#leaseMs, signal);
    const share =
      call.deadline === undefined ? nowBudgetMs : remainingMs(call, Infinity) * nowShare;
    const budgetMs = Math.min(nowBudgetMs, share);
    const queued = await this.deliver(call, items.filter(isInsight), budgetMs);
    return new Set([...queued, ...(await this.#store.waitingInsights(tenant, ids, signal))]);
  }

  /**
   * Delivers items that were taken; those that did not arrive are put back. Returns the memories
   * whose insights the bridge holds in its queue.
   */
  async deliver(
    call: Call,
    items: readonly InsightItem[],
    budgetMs = workerBudgetMs,
  ): Promise<string[]> {
    const queued: string[] = [];
    const until = performance.now() + budgetMs;
    for (const [index, item] of items.entries()) {
      try {
        const left = Math.max(1, until - performance.now());
        const { written } = await within({ ...call, tenant: item.tenant }, left, (peerCall) =>
          this.#bridge.storeInsight(peerCall, item.insight, item.id),
        );
        await this.#store.remove([item], call.signal);
        if (!written) queued.push(item.insight.memoryId);
      } catch (error) {
        call.signal.throwIfAborted();
        const down = isDown(error);
        const why = { attempts: item.attempts, ...(down ? {} : { err: error }) };
        this.#logger.warn(why, "an insight has to wait for Session-Buddy");
        // With the bridge down or busy the others would fare no better.
        const failed = down ? items.slice(index) : [item];
        await this.#store.putBack(failed, retryMs(item.attempts), call.signal);
        if (down) break;
      }
    }
    return queued;
  }
}

function isDown(error: unknown): boolean {
  return (
    error instanceof DomainError &&
    (error.kind === "unavailable" || error.kind === "deadline_exceeded")
  );
}

export function isInsight(item: OutboxItem): item is InsightItem {
  return item.kind === "insight";
}

function retryMs(attempts: number): number {
  const ceiling = Math.min(lastRetryMs, firstRetryMs * 2 ** Math.min(attempts - 1, 20));
  return ceiling * (0.5 + Math.random() / 2);
}
