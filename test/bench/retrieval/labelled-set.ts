/** One turn of a conversation, by its place in it. */
export interface LabelledTurn {
  readonly role: "user" | "assistant";
  readonly content: string;
  /** When it was said; undefined: now. */
  readonly time: Date | undefined;
}

/** A question, and the places of the turns that answer it. */
export interface LabelledQuestion {
  readonly kind: string;
  readonly question: string;
  readonly evidence: readonly number[];
}

/** What one user of the platform said and asks. A question is asked within one of these. */
export interface LabelledConversation {
  readonly name: string;
  /** In the order in which they were said; each element of the outer list is a session. */
  readonly sessions: readonly (readonly LabelledTurn[])[];
  readonly questions: readonly LabelledQuestion[];
}
