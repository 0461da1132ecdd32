import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  fineGrainedGithubToken,
  samplePrivateKeys,
  sampleTokens,
} from "../../test/harness/sample-secrets.ts";
import { findSecret } from "./found-secrets.ts";

const root = join(import.meta.dirname, "../..");
const prose = Array.from({ length: 40 }, (_, n) => `Line ${n + 1} of some prose about keys.`);

/** On line 41. */
const within = (text: string) => [...prose, text, ...prose].join("\n");

describe("findSecret", () => {
  it.each(Object.keys(sampleTokens()))("finds a %s, and says on which line", (kind) => {
    for (let seed = 1; seed <= 50; seed++) {
      const token = sampleTokens(seed)[kind] ?? "";
      expect(findSecret(within(`const it = ${token};`)), token).toEqual({ line: 41, kind });
    }
  });

  it("finds the newer tokens of GitHub", () => {
    expect(findSecret(within(fineGrainedGithubToken))).toEqual({ line: 41, kind: "github token" });
  });

  it("finds private keys wherever they stand, in whatever form", () => {
    for (const key of samplePrivateKeys()) {
      const forms = [
        key,
        key.replaceAll(/^/gm, "    "),
        JSON.stringify({ private_key: key }),
        key.replaceAll(/^.*$/gm, '  "$&\\n" +'),
        key.replaceAll(/^/gm, "// "),
        key.split("\n").slice(0, 6).join("\n"),
      ];
      for (const form of forms) {
        expect(findSecret(within(form)), form).toEqual({ line: 41, kind: "private key" });
      }
    }
  });

  it("tells of the first of several", () => {
    const { "npm token": npm = "", "github token": github = "" } = sampleTokens();
    expect(findSecret(`${npm}\n${github}`)).toEqual({ line: 1, kind: "npm token" });
    expect(findSecret(`${github}\n${npm}`)).toEqual({ line: 1, kind: "github token" });
  });

  it.each([
    ["repeated letters", `ghp_${"x".repeat(36)}`],
    ["the alphabet", "ghp_1234567890abcdefghijklmnopqrstuvwxyz"],
    ["the alphabet in turns", "npm_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"],
    ["a word of samples", "glpat-your-token-goes-here12"],
    ["AWS's own sample", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"],
    ["a key id of AWS alone", sampleTokens()["aws key"]?.split(",")[0] ?? ""],
    ["a name of that length", "secret_access_key: SandboxesSandboxAwsModelOfSecretAccessKey"],
    ["words", "xoxb-not-the-words-of-a-token"],
    ["a variable", `//registry.npmjs.org/:_authToken=$${"{NPM_TOKEN}"}`],
    ["Stripe's test mode", (sampleTokens()["stripe token"] ?? "").replace("live", "test")],
    ["a password in an address", "postgres://someone:password1@db.internal:5432/app"],
    ["a public key", "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----"],
    ["the frame of a key", "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----"],
    ["what looks for a key", 'if (text.startsWith("-----BEGIN PRIVATE KEY-----")) return true;'],
    [
      "a variable in an address of git",
      'git config --global url."https://$${"{GITHUB_TOKEN}"}:x-oauth-basic@github.com/".insteadOf "https://github.com/"',
    ],
    ["a short variable there", "https://$GITHUB_TOKEN:x-oauth-basic@github.com/owner/name"],
    ["a hash", "sha256-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
  ])("takes %s for harmless", (_, text) => {
    expect(findSecret(within(text))).toBeUndefined();
  });

  it("goes by what owners tell scanners of secrets", () => {
    const token = sampleTokens()["github token"] ?? "";
    for (const text of [
      `${token} # gitleaks:allow`,
      `${token} # pragma: allowlist secret`,
      `// secretlint-disable-next-line\n${token}`,
    ]) {
      expect(findSecret(within(text))).toBeUndefined();
    }
    expect(findSecret(within(`${token} # gitleaks:allow\n${token}`))).toMatchObject({ line: 42 });
  });

  it("finds none in this repository", () => {
    const files = globSync(
      "{cli,deploy,docs,migrations,proto,services,shared,test}/**/*.{md,ts,sql,proto,yaml,yml,py,go}",
      {
        cwd: root,
      },
    );
    expect(files.length).toBeGreaterThan(500);
    const found = files.flatMap((file) => {
      const secret = findSecret(readFileSync(join(root, file), "utf8"));
      return secret === undefined ? [] : [{ file, ...secret }];
    });
    expect(found).toEqual([]);
  });
});
