import { rules } from "@secretlint/secretlint-rule-preset-recommend";
import { lineBreaks, lineStartAt } from "./lines.ts";
import { isSample, looksReal } from "./token-looks.ts";

/** A token or private key that stands in a text. */
export interface FoundSecret {
  /** From 1. */
  readonly line: number;
  /** What it is, such as `github token`; nothing of its text. */
  readonly kind: string;
}

interface Hit {
  readonly start: number;
  readonly kind: string;
}

/**
 * Of the library's rules those for tokens that their makers mark by a prefix, and AWS's secret key
 * by the name that it is assigned to. Passwords in addresses are left out: documentation is full of
 * them. Private keys are looked for here, since the library knows neither short nor encrypted ones.
 */
const takenRules = new Map(
  `1password anthropic aws cloudflare databricks docker figma github gitlab grafana groq
  hashicorp-vault huggingface linear notion npm openai sendgrid shopify slack stripe tailscale
  vercel`
    .split(/\s+/)
    .map((name) => [`@secretlint/secretlint-rule-${name}`, name]),
);

/** As much of a rule of the library as is used of it. */
interface Rule {
  readonly meta: { readonly id: string };
  create(
    context: {
      readonly sharedOptions: object;
      createTranslator(messages: object): (id: string) => { readonly messageId: string };
      report(found: { readonly range: readonly [start: number, end: number] }): void;
      ignore(): void;
    },
    options: object,
  ): { file?(source: { readonly content: string; readonly filePath: string }): unknown };
}

/** Neither that of a package nor of npm's settings, in which a rule looks for addresses, too. */
const anyPath = "text";

/** What the rules have found in the text that they look at. */
let found: (Hit & { readonly end: number })[] = [];

const scanners = (rules as readonly Rule[]).flatMap((rule) => {
  const kind = takenRules.get(rule.meta.id);
  if (kind === undefined) return [];
  const context = {
    sharedOptions: {},
    createTranslator: () => (messageId: string) => ({ messageId }),
    report: ({ range: [start, end] }: { readonly range: readonly [number, number] }) => {
      found.push({ start, end, kind: `${kind} token` });
    },
    ignore: () => {},
  };
  return [rule.create(context, {})];
});

/** The first token or private key of a text that looks like a real one and is not marked as harmless. */
export function findSecret(text: string): FoundSecret | undefined {
  let first: Hit | undefined;
  // One line may hold many: each is looked at once.
  const harmless = new Map<number, boolean>();
  for (const hit of hitsIn(text)) {
    if (first !== undefined && hit.start >= first.start) continue;
    const line = lineStartAt(text, hit.start);
    const isHarmless = harmless.get(line) ?? isMarkedHarmless(text, line);
    harmless.set(line, isHarmless);
    if (!isHarmless) first = hit;
  }
  if (first === undefined) return undefined;
  return { line: lineBreaks(text, first.start) + 1, kind: first.kind };
}

function* hitsIn(text: string): Generator<Hit> {
  yield* privateKeysIn(text);
  for (const { 0: key, index } of text.matchAll(googleKey)) {
    if (looksReal(key)) yield { start: index, kind: "google token" };
  }
  yield* awsPairsIn(text);
  found = [];
  for (const scanner of scanners) scanner.file?.({ content: text, filePath: anyPath });
  for (const { start, end, kind } of found) {
    const isReal =
      kind === "aws token" ? isAwsSecret(text, start) : isToken(text.slice(start, end));
    if (isReal) yield { start, kind };
  }
  found = [];
}

/** Keys of Stripe's test mode reach no money, and its documentation shows real ones. */
function isToken(token: string): boolean {
  return !/^[sr]k_test_/.test(token) && looksReal(token);
}

/** https://cloud.google.com/docs/authentication/api-keys */
const googleKey = /\bAIza[\w-]{35}(?![\w-])/g;
/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids */
const awsKeyId = /\b(?:AKIA|ASIA)[A-Z2-7]{16}\b/g;
const awsSecret = /(?<![\w/+=])[A-Za-z\d/+]{40}(?![\w/+=])/g;
/** Characters around a key id within which its secret stands. */
const awsReach = 300;
const awsAssignment = 120;

/** An id alone opens nothing. */
function* awsPairsIn(text: string): Generator<Hit> {
  for (const { 0: id, index } of text.matchAll(awsKeyId)) {
    if (isSample(id)) continue;
    const near = text.slice(Math.max(0, index - awsReach), index + awsReach);
    if ([...near.matchAll(awsSecret)].some(([secret]) => isRandom(secret))) {
      yield { start: index, kind: "aws key" };
    }
  }
}

/** What is assigned to a name that begins here; names of types are as long now and then. */
function isAwsSecret(text: string, at: number): boolean {
  const [secret] = text.slice(at, at + awsAssignment).match(awsSecret) ?? [];
  return secret !== undefined && isRandom(secret);
}

/** Of 40 random characters one in 1,000 has no digit; a hash has one kind of letters. */
function isRandom(secret: string): boolean {
  return /\d/.test(secret) && /[A-Z]/.test(secret) && /[a-z]/.test(secret) && looksReal(secret);
}

/** RFC 7468, RFC 1421 (encrypted ones), OpenPGP's armour (RFC 9580), also as a string in code. */
const privateKey = /-----BEGIN (?:[A-Z\d]+ )*PRIVATE KEY(?: BLOCK)?-----/g;
const keyCharacters = 2_000;
const keyHeaders = /(?:Proc-Type|DEK-Info|Version|Comment|Hash): (?:(?!\\+[nr]).)*/g;
const keyNoise = /\\+[nrt]|[\s"'`,;+*#/\\>|]/g;

function* privateKeysIn(text: string): Generator<Hit> {
  for (const { 0: head, index } of text.matchAll(privateKey)) {
    const from = index + head.length;
    const body = text.slice(from, from + keyCharacters).split("-----", 1)[0] ?? "";
    const bare = body.replace(keyHeaders, "").replace(keyNoise, "").slice(0, 64);
    // A file that begins with one is meant to be one.
    const isFile = text.slice(0, index).trim() === "";
    if (isFile || (/^[A-Za-z\d=]{40,}$/.test(bare) && looksReal(bare))) {
      yield { start: index, kind: "private key" };
    }
  }
}

/** As scanners of secrets are told that a line is harmless: by what stands on it or before it. */
const harmlessLine =
  /gitleaks:allow|trufflehog:ignore|pragma: ?allowlist secret|secretlint-disable-line/i;
const harmlessNext = /pragma: ?allowlist nextline secret|secretlint-disable-next-line/i;

function isMarkedHarmless(text: string, start: number): boolean {
  const end = text.indexOf("\n", start);
  if (harmlessLine.test(text.slice(start, end === -1 ? text.length : end))) return true;
  if (start === 0) return false;
  return harmlessNext.test(text.slice(lineStartAt(text, start - 1), start - 1));
}
