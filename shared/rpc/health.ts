/** Tells who watches that the status of a service, or the overall one (""), may have changed. */
export type HealthListener = (serviceName: string) => void;

/**
 * What `grpc.health.v1.Health` answers. Guilty until proven ready: a service that is registered
 * and not yet set is not serving. The overall status, named "", is serving only when every named
 * service is, and there is one.
 */
export class HealthRegistry {
  readonly #serving = new Map<string, boolean>();
  readonly #listeners = new Set<HealthListener>();
  #closed = false;

  /** Makes a service known, not serving unless it was set before. */
  register(serviceName: string): void {
    if (!this.#serving.has(serviceName)) this.#change(serviceName, false);
  }

  set(serviceName: string, serving: boolean): void {
    if (serviceName === "") throw new RangeError('the overall status "" follows the named ones');
    if (!this.#closed) this.#change(serviceName, serving);
  }

  /** Sets every registered service. */
  setAll(serving: boolean): void {
    for (const name of this.names()) this.set(name, serving);
  }

  /** Undefined where nobody has registered the name. */
  statusOf(serviceName: string): boolean | undefined {
    if (serviceName !== "") return this.#serving.get(serviceName);
    return this.#serving.size > 0 && [...this.#serving.values()].every((serving) => serving);
  }

  /** Registered names, in order of registration, without "". */
  names(): string[] {
    return [...this.#serving.keys()];
  }

  /** Returns a function that ends the listening. */
  onChange(listener: HealthListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** For shutdown: nothing serves any more, whatever is set later. */
  close(): void {
    this.setAll(false);
    this.#closed = true;
  }

  #change(serviceName: string, serving: boolean): void {
    const overall = this.statusOf("");
    if (this.#serving.get(serviceName) === serving) return;
    this.#serving.set(serviceName, serving);
    this.#tell(serviceName);
    if (this.statusOf("") !== overall) this.#tell("");
  }

  #tell(serviceName: string): void {
    for (const listener of this.#listeners) listener(serviceName);
  }
}
