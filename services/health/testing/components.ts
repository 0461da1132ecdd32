import type { Component, Finding, Status } from "../component-health.ts";

/** A component whose state a test decides. */
export class FakeComponent implements Component {
  readonly name: string;
  readonly facts = { address: "here" };
  probes = 0;
  status: Status = "healthy";
  /** Answers only when this is resolved. */
  gate: Promise<unknown> = Promise.resolve();

  constructor(name: string, status: Status = "healthy") {
    this.name = name;
    this.status = status;
  }

  async probe(): Promise<Finding> {
    this.probes++;
    await this.gate;
    return { status: this.status, message: `is ${this.status}`, metadata: { version: "1" } };
  }
}

/** Waits until something holds; fails after five seconds. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("it did not come true within five seconds");
}
