/** Letters without a break, nowhere the same: the tokenizer takes time by the square of such runs. */
export function endless(): string {
  let state = 7;
  const letters = Buffer.alloc(12 * 1024 * 1024);
  for (let at = 0; at < letters.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    letters[at] = 97 + ((state >>> 16) % 26);
  }
  return letters.toString("latin1");
}
