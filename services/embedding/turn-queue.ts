/** Texts wait here by caller. A caller who waits for one answer is prompt; streams can gather. */
export interface Waiting<C> {
  readonly caller: C;
  /** The caller's own number of the text. */
  readonly key: number;
  readonly text: string;
}

export interface TurnCaller {
  /** True when its texts must not wait for company. */
  readonly prompt: boolean;
}

/** Equal texts stand together and are embedded once. */
export type TextBatch<C> = Map<string, Waiting<C>[]>;

/**
 * A queue in which callers take turns, one text each, so that the length of one caller's list is
 * nobody else's wait. Within a caller the order is kept.
 */
export class TurnQueue<C extends TurnCaller> {
  readonly #lists = new Map<C, Waiting<C>[]>();
  #size = 0;
  #characters = 0;
  #prompt = 0;

  /** Texts that wait. */
  get size(): number {
    return this.#size;
  }

  /** UTF-16 units that wait. */
  get characters(): number {
    return this.#characters;
  }

  /** True while a caller waits who must not. */
  get isPrompt(): boolean {
    return this.#prompt > 0;
  }

  add(waiting: Waiting<C>): void {
    const list = this.#lists.get(waiting.caller);
    if (list === undefined) this.#lists.set(waiting.caller, [waiting]);
    else list.push(waiting);
    this.#count(waiting, 1);
  }

  /** At most so many different texts, and so many units unless the first text alone has more. */
  take(mostTexts: number, mostCharacters: number): TextBatch<C> {
    const batch: TextBatch<C> = new Map();
    const taken = new Map<C, number>();
    let characters = 0;
    let full = false;
    // Each round takes one text of every caller that has one left.
    for (let round = 0, progress = true; progress && !full; round++) {
      progress = false;
      for (const [caller, list] of this.#lists) {
        const next = list[round];
        if (next === undefined) continue;
        const same = batch.get(next.text);
        if (same !== undefined) same.push(next);
        else {
          full =
            batch.size >= mostTexts ||
            (batch.size > 0 && characters + next.text.length > mostCharacters);
          if (full) break;
          batch.set(next.text, [next]);
          characters += next.text.length;
        }
        taken.set(caller, round + 1);
        this.#count(next, -1);
        progress = true;
      }
    }
    for (const [caller, count] of taken) this.#drop(caller, count);
    return batch;
  }

  /** Puts back what was taken, before all that its callers have waiting. */
  putBack(batch: TextBatch<C>): void {
    for (const [caller, waiting] of byCaller(batch)) {
      this.#lists.set(caller, [...waiting, ...(this.#lists.get(caller) ?? [])]);
      for (const one of waiting) this.#count(one, 1);
    }
  }

  /** Forgets what a caller has waiting. */
  leave(caller: C): void {
    for (const waiting of this.#lists.get(caller) ?? []) this.#count(waiting, -1);
    this.#lists.delete(caller);
  }

  /** Who had a turn goes to the end. */
  #drop(caller: C, count: number): void {
    const list = this.#lists.get(caller) ?? [];
    this.#lists.delete(caller);
    list.splice(0, count);
    if (list.length > 0) this.#lists.set(caller, list);
  }

  #count({ caller, text }: Waiting<C>, sign: 1 | -1): void {
    this.#size += sign;
    this.#characters += sign * text.length;
    if (caller.prompt) this.#prompt += sign;
  }
}

/** Who waits for the texts of a batch, and for which of them. */
export function byCaller<C>(batch: TextBatch<C>): Map<C, Waiting<C>[]> {
  const callers = new Map<C, Waiting<C>[]>();
  for (const waiters of batch.values()) {
    for (const waiting of waiters) {
      const own = callers.get(waiting.caller);
      if (own === undefined) callers.set(waiting.caller, [waiting]);
      else own.push(waiting);
    }
  }
  return callers;
}
