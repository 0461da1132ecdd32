/** Words of samples; in random tokens of 40 characters one in 10,000 holds one of them. */
const placeholder =
  /example|placeholder|sample|dummy|fake|redact|change.?me|replace|insert|your|secret.?key|token.?here|not.?a.?real|test.?(?:token|key)|(.)\1{5}/i;
/** Bits a character; 32 random hexadecimal digits have about 3.6, words repeated less. */
const leastEntropy = 3;
/** Of neighbours that repeat or follow each other; random digits have 0.19. */
const mostInSequence = 0.35;

/** Whether a token holds words such as `example`, repeats a few characters or counts through the alphabet. */
export function isSample(token: string): boolean {
  const own = ownPart(token);
  return (
    placeholder.test(token) || entropyOf(own) < leastEntropy || sequenceShare(own) > mostInSequence
  );
}

/** Whether a token could be real: neither a sample nor a word in small letters or capitals. */
export function looksReal(token: string): boolean {
  const own = ownPart(token);
  return !isSample(token) && (/\d/.test(own) || (/[a-z]/.test(own) && /[A-Z]/.test(own)));
}

/** What its maker puts before it says nothing. */
function ownPart(token: string): string {
  return token.replace(/^[A-Za-z]+_(?:[a-z]+_)?|^[a-z]+-(?:[a-z]+\d*-)?/, "");
}

/** Shannon's, of single characters. */
function entropyOf(text: string): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  return [...counts.values()].reduce((sum, count) => {
    const share = count / text.length;
    return sum - share * Math.log2(share);
  }, 0);
}

function sequenceShare(text: string): number {
  const lower = text.toLowerCase();
  let count = 0;
  for (let at = 1; at < lower.length; at++) {
    const step = lower.charCodeAt(at) - lower.charCodeAt(at - 1);
    if (step === 0 || step === 1) count++;
  }
  return count / Math.max(1, lower.length - 1);
}
