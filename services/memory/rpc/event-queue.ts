/**
 * What happened and was not yet looked at; several sources, one reader. In place of a race, which
 * leaves a listener on every promise that stays open, once for every turn.
 */
export class EventQueue<Event> {
  readonly #queue: Event[] = [];
  #wake: (() => void) | undefined;

  push(event: Event): void {
    this.#queue.push(event);
    this.#wake?.();
    this.#wake = undefined;
  }

  /** The oldest event, as soon as there is one. */
  async next(): Promise<Event> {
    for (;;) {
      const event = this.#queue.shift();
      if (event !== undefined) return event;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
