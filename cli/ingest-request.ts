/** What the command was asked to ingest, and how. */
export interface IngestOptions {
  readonly repo?: string;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly chunkSize?: number;
  readonly chunkOverlap?: number;
  readonly detach?: boolean;
  readonly watch?: boolean;
  /** Seconds, here and below. */
  readonly reattach: number;
  /** How long to wait where the repository is another's. */
  readonly wait: number;
  readonly tenant?: string;
  readonly json?: boolean;
}

export type IngestRequest = ReturnType<typeof requestOf>;

/** As the service is asked. */
export function requestOf(path: string, options: IngestOptions) {
  const { repo = "", include = [], exclude = [], chunkSize = 0, chunkOverlap } = options;
  return {
    path,
    repoId: repo,
    include: [...include],
    exclude: [...exclude],
    chunkSize,
    ...(chunkOverlap === undefined ? {} : { chunkOverlap }),
  };
}
