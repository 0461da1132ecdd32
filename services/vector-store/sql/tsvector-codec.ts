/**
 * The lexemes of a tsvector and how often each stands there, of its binary format, which
 * `tsvectorsend(column)` gives: a number of lexemes, and for each its bytes, a zero, and a number of
 * positions with two bytes for each.
 */
export function* decodeLexemeCounts(value: Buffer): Generator<[lexeme: string, times: number]> {
  let at = 4;
  for (let left = value.readInt32BE(0); left > 0; left--) {
    const end = value.indexOf(0, at);
    const lexeme = value.toString("utf8", at, end);
    const times = value.readUInt16BE(end + 1);
    at = end + 3 + 2 * times;
    yield [lexeme, times];
  }
}
