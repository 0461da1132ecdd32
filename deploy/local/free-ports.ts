import { createServer } from "node:net";
import getPort from "get-port";
import { type Ports, serviceEntries } from "./services.ts";

/** The name under which the embedded PostgreSQL's port is kept among the others. */
export const embeddedPostgres = "embedded-postgres";

/** Ports of the contract, each moved by its environment variable. */
export function configuredPorts(env: Readonly<Record<string, string | undefined>>): Ports {
  return Object.fromEntries([
    ...serviceEntries.map(({ name, key, defaultPort }) => [
      name,
      Number(env[`MAHAVISHNU_${key}_PORT`] ?? defaultPort),
    ]),
    [embeddedPostgres, Number(env["MAHAVISHNU_EMBEDDED_PG_PORT"] ?? 54329)],
  ]);
}

/** Free ports for a throwaway platform. */
export async function freePorts(): Promise<Ports> {
  const ports: Record<string, number> = {};
  for (const name of [...serviceEntries.map((entry) => entry.name), embeddedPostgres]) {
    ports[name] = await getPort({ host: "127.0.0.1" });
  }
  return ports;
}

/** One line for every port that something else listens on. */
export async function takenPorts(ports: Ports, host: string): Promise<string[]> {
  const lines = await Promise.all(
    Object.entries(ports).map(async ([name, port]) => {
      if (await canListen(host, port)) return [];
      const key = serviceEntries.find((entry) => entry.name === name)?.key;
      const variable = key === undefined ? "MAHAVISHNU_EMBEDDED_PG_PORT" : `MAHAVISHNU_${key}_PORT`;
      return [
        `port ${port} (${name}) is taken: stop what listens there, or set ${variable} to another port`,
      ];
    }),
  );
  return lines.flat();
}

function canListen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
