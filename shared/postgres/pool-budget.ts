/**
 * Connections that each process may hold, out of 50. node-postgres knows no overflow, so the
 * platform's budget (pool_size + max_overflow) is shared out here, and nowhere else: what all
 * processes hold together never exceeds it.
 */
const weights = {
  "vector-store": 20,
  memory: 12,
  ingestion: 8,
  embedding: 4,
  "session-buddy": 4,
  health: 2,
} as const;

export type PoolOwner = keyof typeof weights;

export const poolOwners = Object.keys(weights) as readonly PoolOwner[];

/** What the weights sum to beyond one for each process. */
const spareWeight =
  Object.values(weights).reduce((sum, weight) => sum + weight, 0) - poolOwners.length;

/**
 * The share of one process in `budget` connections (at least one for each process): in proportion
 * to its weight, at least 1. All shares together make exactly the budget.
 */
export function poolShare(owner: PoolOwner, budget: number): number {
  return poolShares(budget)[owner];
}

export function poolShares(budget: number): Readonly<Record<PoolOwner, number>> {
  if (!Number.isInteger(budget) || budget < poolOwners.length) {
    throw new RangeError(`the budget must be an integer of at least ${poolOwners.length}`);
  }
  // One for each first, then the rest by weight, then what rounding left to the heaviest.
  const rest = budget - poolOwners.length;
  const shares = Object.fromEntries(
    poolOwners.map((owner) => [owner, 1 + Math.floor((rest * (weights[owner] - 1)) / spareWeight)]),
  ) as Record<PoolOwner, number>;
  let left = budget - Object.values(shares).reduce((sum, share) => sum + share, 0);
  for (const owner of poolOwners) {
    if (left === 0) break;
    shares[owner] += 1;
    left -= 1;
  }
  return shares;
}
