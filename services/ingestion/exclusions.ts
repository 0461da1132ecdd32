import { basename } from "node:path/posix";
import { lineBreaks } from "./lines.ts";

/**
 * Why a file is passed over, as it stands in `files_skipped`. A folder that is passed over counts
 * once, under the same reasons.
 */
export type SkipReason =
  /** No known type, and no `include` pattern asks for it. */
  | "file_type"
  /** A .gitignore names it. */
  | "ignored"
  /** A built-in exclusion or the caller's `exclude` names it. */
  | "excluded"
  /** The caller's `include` does not name it. */
  | "not_included"
  /** By its name it may hold credentials. */
  | "secret"
  /** A token or private key stands in its text. */
  | "secret_found"
  /** Lock files, minified and generated code. */
  | "generated"
  | "binary"
  | "empty"
  | "too_large"
  | "symlink"
  /** A FIFO, socket or device. */
  | "special";

/** Why a file is passed over, and what is to be told of it beside the reason. */
export interface Skip {
  readonly reason: string;
  /** What is where in it, for people; nothing of its text. */
  readonly detail?: string;
}

const between = ": ";

/** As one word, to be recorded. */
export function skipText({ reason, detail }: Skip): string {
  return detail === undefined ? reason : reason + between + detail;
}

export function skipOf(recorded: string): Skip {
  const at = recorded.indexOf(between);
  if (at === -1) return { reason: recorded };
  return { reason: recorded.slice(0, at), detail: recorded.slice(at + between.length) };
}

const excludedFolders = new Set(
  `.git .hg .svn __pycache__ node_modules bower_components .venv venv .tox .nox .eggs
  site-packages .mypy_cache .pytest_cache .ruff_cache .ipynb_checkpoints dist build target out
  coverage htmlcov .nyc_output .next .nuxt .output .svelte-kit .turbo .parcel-cache .cache .gradle
  .idea .vs .terraform .dart_tool .yarn .pnpm-store Pods DerivedData`.split(/\s+/),
);

/** Version control, installed packages, caches and build output: never entered. */
export function isExcludedFolder(path: string): boolean {
  const name = basename(path);
  return excludedFolders.has(name) || name.endsWith(".egg-info");
}

const secretFolders = new Set([".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker"]);

export function isSecretFolder(path: string): boolean {
  return secretFolders.has(basename(path));
}

const secretNames = new RegExp(
  [
    String.raw`\.env(\..+)?|.+\.env`,
    String.raw`.+\.(pem|key|p12|pfx|p8|pkcs12|jks|keystore|ppk|asc|gpg|kdbx|tfstate|tfvars|token|secret)(\.backup)?`,
    String.raw`id_(rsa|dsa|ecdsa|ed25519)(_sk)?(\..+)?`,
    String.raw`\.(npmrc|pypirc|netrc|pgpass|htpasswd|git-credentials|dockercfg|vault-token|boto|s3cfg)`,
    String.raw`_netrc|htpasswd|kubeconfig|master\.key`,
    String.raw`(client_|google_|gcp_|aws_)?(credentials?|secrets?|tokens?|passwords?|service[-_]?account([-_]?key)?|client[-_]secrets?)(\.(json|ya?ml|toml|ini|txt|cfg|conf|properties|enc))?`,
  ]
    .map((alternative) => `^(${alternative})$`)
    .join("|"),
  "i",
);

/** Templates of `.env` files hold names without values. */
const harmlessEnvironment = /^\.env\.(example|sample|template|dist|defaults?)$/i;

/** Whether a name promises credentials: `.env`, keys, token and password files. */
export function isSecretFile(path: string): boolean {
  const name = basename(path);
  return secretNames.test(name) && !harmlessEnvironment.test(name);
}

const generatedNames = new RegExp(
  [
    String.raw`(package-lock|npm-shrinkwrap|composer-lock|packages\.lock)\.json`,
    String.raw`(yarn|poetry|cargo|composer|gemfile|pipfile|pdm|uv|bun|flake|mix|pubspec|podfile)\.lock`,
    String.raw`pnpm-lock\.yaml|go\.(work\.)?sum|gradle\.lockfile|cartfile\.resolved|package\.resolved`,
    String.raw`.+[.-]min\.(js|mjs|cjs|css|html)|.+\.(js|mjs|cjs|css)\.map|.+\.bundle\.(js|css)`,
    String.raw`.+_pb2(_grpc)?\.pyi?|.+\.pb(\.gw|\.validate)?\.(go|cc|h)|.+_pb\.(js|ts|d\.ts|rb)`,
    String.raw`.+\.(designer|g|generated)\.(cs|dart|ts|js)|.+\.freezed\.dart`,
  ]
    .map((alternative) => `^(${alternative})$`)
    .join("|"),
  "i",
);

/** Lock files, minified files and generators' output, by name. */
export function isGeneratedName(path: string): boolean {
  return generatedNames.test(basename(path));
}

const headCharacters = 2_000;
const minifiedLine = 500;
const minifiedFloor = 4_000;

/** Generated or minified code, by what it says of itself or by the length of its lines. */
export function isGeneratedCode(text: string): boolean {
  const head = text.slice(0, headCharacters).split("\n", 6).join("\n");
  if (/(^|[\s*#/])@generated\b|code generated .{0,200}do not edit/i.test(head)) return true;
  if (text.length < minifiedFloor) return false;
  return text.length / (lineBreaks(text) + 1) > minifiedLine;
}
