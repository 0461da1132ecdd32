import { type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

/** A virtual environment of Python in a folder of its own. */
export class PythonEnvironment {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Rejects where there is no Python with venv. */
  static async make(folder: string): Promise<PythonEnvironment> {
    await run("python3", ["-m", "venv", folder]);
    return new PythonEnvironment(folder);
  }

  program(name: string): string {
    return join(this.#folder, "bin", name);
  }

  /** Rejects where a package cannot be installed. */
  async install(...packages: readonly string[]): Promise<void> {
    const quiet = ["--quiet", "--disable-pip-version-check", "--prefer-binary"];
    await run(this.program("python"), ["-m", "pip", "install", ...quiet, ...packages]);
  }
}

/** Runs a program to its end; returns what it wrote. */
export async function run(
  program: string,
  given: readonly string[],
  options: SpawnOptions = {},
): Promise<string> {
  const child = spawn(program, given, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout?.on("data", (part) => {
    output += part;
  });
  child.stderr?.on("data", (part) => {
    errors += part;
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${errors.slice(-500)}`);
  return output;
}
