import type { NewDocument } from "./document.ts";

/** What the store holds of a document that a write may touch. */
export interface ExistingDocument {
  readonly id: string;
  /** As `contentKey` of a new document. */
  readonly key: string;
  readonly hasVector: boolean;
  /** Undefined where it does not expire. */
  readonly expireTime: bigint | undefined;
  /** Never returned any more, so it is in nobody's way: a write removes it. */
  readonly expired: boolean;
}

/** One document of a request: its position, itself, and its `contentKey`. */
export interface PlannedDocument {
  readonly position: number;
  readonly document: NewDocument;
  readonly key: string;
}

/** A document whose content is there already, under `id`, and what that one takes from it. */
export interface Deduplication extends PlannedDocument {
  readonly id: string;
  readonly takesVector: boolean;
  readonly takesExpiry: boolean;
}

/** What a request does, given what is stored. Steps stand in the order in which they are done. */
export interface WritePlan {
  /** Ids of expired documents that are in the way. */
  readonly removals: readonly string[];
  /** Refused: another document has the content. */
  readonly refusals: readonly { readonly position: number; readonly id: string }[];
  /** Updates in waves: a wave may take a content that one before it has given up, none its own. */
  readonly updateWaves: readonly (readonly PlannedDocument[])[];
  readonly inserts: readonly PlannedDocument[];
  readonly deduplications: readonly Deduplication[];
  /** To plan again once the rest is done: they repeat the content of an insert of this plan. */
  readonly later: readonly PlannedDocument[];
}

/** Equal for two documents exactly when one is a duplicate of the other. */
export function contentKey(document: {
  readonly contentHash: string;
  readonly memoryType: string;
  readonly dedupScope: string;
}): string {
  return `${document.contentHash} ${document.memoryType} ${document.dedupScope}`;
}

/**
 * Decides what becomes of each document. A request is a set, not a sequence: documents that exist
 * under their id are updated first, then the others are de-duplicated against what there is then,
 * so that no content is taken for stored that an update of the same request replaces.
 */
export function planWrite(
  documents: readonly PlannedDocument[],
  existing: readonly ExistingDocument[],
): WritePlan {
  const live = existing.filter((one) => !one.expired);
  const holderOf = new Map(live.map((one) => [one.key, one.id]));
  const byId = new Map(live.map((one) => [one.id, one]));

  const isUpdate = ({ document }: PlannedDocument) => document.idGiven && byId.has(document.id);
  const updates = planUpdates(documents.filter(isUpdate), byId, holderOf);

  const inserts: PlannedDocument[] = [];
  const deduplications: Deduplication[] = [];
  const later: PlannedDocument[] = [];
  const inserted = new Set<string>();
  const replaced = new Map(updates.waves.flat().map((one) => [one.document.id, one.document]));
  for (const planned of documents) {
    if (isUpdate(planned)) continue;
    const { key } = planned;
    const holder = holderOf.get(key);
    if (holder !== undefined) {
      // Where the holder is updated by this request too, what it lacks is known only afterwards.
      if (replaced.has(holder)) later.push(planned);
      else deduplications.push(deduplication(planned, holder, byId));
    } else if (inserted.has(key)) {
      later.push(planned);
    } else {
      inserted.add(key);
      inserts.push(planned);
    }
  }
  return {
    removals: existing.filter((one) => one.expired).map((one) => one.id),
    refusals: updates.refusals,
    updateWaves: updates.waves,
    inserts,
    deduplications: oncePerHolder(deduplications),
    later,
  };
}

function planUpdates(
  documents: readonly PlannedDocument[],
  byId: ReadonlyMap<string, ExistingDocument>,
  holderOf: Map<string, string>,
) {
  const refusals: { position: number; id: string }[] = [];
  const waves: PlannedDocument[][] = [];
  let wave: PlannedDocument[] = [];
  let freed = new Set<string>();
  for (const planned of documents) {
    const { id } = planned.document;
    const { key } = planned;
    const holder = holderOf.get(key);
    if (holder !== undefined && holder !== id) {
      refusals.push({ position: planned.position, id: holder });
      continue;
    }
    if (freed.has(key)) {
      waves.push(wave);
      wave = [];
      freed = new Set();
    }
    const before = byId.get(id)?.key;
    if (before !== undefined && before !== key) {
      holderOf.delete(before);
      freed.add(before);
    }
    holderOf.set(key, id);
    wave.push(planned);
  }
  if (wave.length > 0) waves.push(wave);
  return { refusals, waves };
}

function deduplication(
  planned: PlannedDocument,
  id: string,
  byId: ReadonlyMap<string, ExistingDocument>,
): Deduplication {
  const holder = byId.get(id);
  const { vector, expireTime } = planned.document;
  const expiry = holder?.expireTime;
  return {
    ...planned,
    id,
    takesVector: vector !== undefined && holder?.hasVector === false,
    // It lives as long as the longer of the two, so that nothing said to be stored is lost early.
    takesExpiry: expiry !== undefined && (expireTime === undefined || expireTime > expiry),
  };
}

/** Of several that bring the same thing to one holder, the one that brings most. */
function oncePerHolder(all: readonly Deduplication[]): Deduplication[] {
  const vectorGiven = new Set<string>();
  const longest = new Map<string, Deduplication>();
  for (const one of all) {
    if (!one.takesExpiry) continue;
    const best = longest.get(one.id);
    if (best === undefined || livesLonger(one, best)) longest.set(one.id, one);
  }
  return all.map((one) => {
    const takesVector = one.takesVector && !vectorGiven.has(one.id);
    if (takesVector) vectorGiven.add(one.id);
    return { ...one, takesVector, takesExpiry: longest.get(one.id) === one };
  });
}

function livesLonger(one: Deduplication, other: Deduplication): boolean {
  const left = one.document.expireTime;
  const right = other.document.expireTime;
  return right !== undefined && (left === undefined || left > right);
}
