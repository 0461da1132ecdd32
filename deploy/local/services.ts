/** One process of the platform: where its code is, what it serves, and where. */
export interface ServiceEntry {
  readonly name: string;
  /** Fully named gRPC service, as health and reflection know it. */
  readonly service: string;
  /** Its part of the environment names: `MAHAVISHNU_<key>_PORT` and `MAHAVISHNU_<key>_ADDRESS`. */
  readonly key: string;
  readonly defaultPort: number;
}

/** Every process, in the order of the table that a person sees. */
export const serviceEntries: readonly ServiceEntry[] = [
  entry("memory", "mahavishnu.memory.v1.MemoryService", 50051),
  entry("ingestion", "mahavishnu.ingestion.v1.IngestionService", 50052),
  entry("vector-store", "mahavishnu.vectorstore.v1.VectorStoreService", 50053),
  entry("embedding", "mahavishnu.embedding.v1.EmbeddingService", 50054),
  entry("session-buddy", "mahavishnu.sessionbuddy.v1.SessionBuddyService", 50055),
  entry("health", "mahavishnu.health.v1.HealthService", 50056),
];

export type Ports = Readonly<Record<string, number>>;

/** The environment that tells every process its own port and the addresses of its peers. */
export function addressEnvironment(ports: Ports, host: string): Record<string, string> {
  return Object.fromEntries(
    serviceEntries.flatMap(({ name, key }) => [
      [`MAHAVISHNU_${key}_PORT`, String(ports[name])],
      [`MAHAVISHNU_${key}_ADDRESS`, dialAddress(host, ports[name])],
    ]),
  );
}

/** Where to call what listens on a host: a wildcard is reached by loopback. */
export function dialAddress(host: string, port: number | undefined): string {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host;
  return reachable.includes(":") ? `[${reachable}]:${port}` : `${reachable}:${port}`;
}

function entry(name: string, service: string, defaultPort: number): ServiceEntry {
  return { name, service, defaultPort, key: name.toUpperCase().replaceAll("-", "_") };
}
