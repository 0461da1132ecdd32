/** How many line breaks a text has before a place in it. */
export function lineBreaks(text: string, before = text.length): number {
  let count = 0;
  let at = text.indexOf("\n");
  while (at !== -1 && at < before) {
    count++;
    at = text.indexOf("\n", at + 1);
  }
  return count;
}

/** Where the line of a place begins. */
export function lineStartAt(text: string, at: number): number {
  // `lastIndexOf` takes what is below 0 for 0.
  return at === 0 ? 0 : text.lastIndexOf("\n", at - 1) + 1;
}
