/** Where a result can come from, in the order of the contract. */
export const sources = ["postgresql", "session_buddy"] as const;
export type Source = (typeof sources)[number];
