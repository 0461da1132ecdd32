/** Why work on an ingestion was told to stop. */
export class StopRequest extends Error {
  override readonly name = "StopRequest";
  readonly why: "cancelled" | "interrupted" | "lost";

  constructor(why: StopRequest["why"], message: string) {
    super(message);
    this.why = why;
  }
}
