import { generateKeyPairSync } from "node:crypto";

/*
 * Tokens and keys of known shapes that open nothing. They are made when tests run: written down, they
 * would make this file one that is passed over.
 */

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** The same for the same seed. */
function random(length: number, seed: number, alphabet = letters): string {
  let state = seed * 7_919 + 17;
  let text = "";
  while (text.length < length) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    text += alphabet[(state >>> 8) % alphabet.length];
  }
  return text;
}

/** By what they are called when they are found. */
export function sampleTokens(seed = 1): Readonly<Record<string, string>> {
  const digits = (length: number, more: number) => random(length, seed + more, "0123456789");
  const some = (length: number, more = 0) => random(length, seed + more);
  return {
    "aws token": `aws_secret_access_key = ${some(40)}`,
    "aws key": `"AKIA${random(16, seed, letters.slice(0, 26))}", "${some(40, 3)}"`,
    "github token": `ghp_${some(36)}`,
    "gitlab token": `glpat-${some(20)}`,
    "slack token": `xoxb-${digits(12, 1)}-${digits(13, 2)}-${some(24)}`,
    "openai token": `sk-proj-${some(74)}T3BlbkFJ${some(74, 5)}`,
    "anthropic token": `sk-ant-api03-${some(93)}AA`,
    "google token": `AIza${some(35)}`,
    "stripe token": `sk_live_${some(24)}`,
    "npm token": `npm_${some(36)}`,
    "huggingface token": `hf_${random(34, seed, letters.slice(0, 52))}`,
  };
}

export const fineGrainedGithubToken = `github_pat_${random(22, 4)}_${random(59, 5)}`;

/** In PEM, in forms of different length, one of them encrypted. */
export function samplePrivateKeys(): readonly string[] {
  const pkcs8 = { type: "pkcs8", format: "pem" } as const;
  const spki = { type: "spki", format: "pem" } as const;
  const encrypted = {
    type: "pkcs1",
    format: "pem",
    cipher: "aes-256-cbc",
    passphrase: "x",
  } as const;
  return [
    generateKeyPairSync("ed25519", { privateKeyEncoding: pkcs8, publicKeyEncoding: spki }),
    generateKeyPairSync("ec", {
      namedCurve: "P-256",
      privateKeyEncoding: { type: "sec1", format: "pem" },
      publicKeyEncoding: spki,
    }),
    generateKeyPairSync("rsa", {
      modulusLength: 1_024,
      privateKeyEncoding: encrypted,
      publicKeyEncoding: spki,
    }),
  ].map(({ privateKey }) => privateKey.trim());
}
