/** A part of a text: `text.slice(from, to)`, and the same in characters, as the store counts them. */
export interface TextPassage {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/**
 * Contents up to this many bytes of UTF-8 have one vector: about 1,600 tokens of English, and models
 * see 2,048.
 */
const longBytes = 6_400;
/** A passage has about this many, about 800 tokens: a fact is not lost among so few words. */
const passageBytes = 3_200;
/** Or a content's part in so many, which leaves room for uneven cuts below the store's 256. */
const mostPassages = 170;
/** What a passage repeats of the one before, as a part of its length. */
const overlap = 1 / 16;
/** How much shorter a passage may be for the sake of where it is cut. */
const slack = 1 / 5;

/** Where to cut, best first. */
const boundaries = [/\n\s*\n/g, /[.!?]["')\]]*\s|[。！？\n]/g, /\s/g];

/** The passages of a long text, in its order and overlapping a little; none of a short one. */
export function passagesOf(text: string): TextPassage[] {
  const bytes = Buffer.byteLength(text);
  if (bytes <= longBytes) return [];
  const wanted = Math.max(passageBytes, bytes / mostPassages);
  const size = Math.max(2, Math.ceil((wanted * text.length) / bytes));
  const passages: TextPassage[] = [];
  const characters = new CharacterCount(text);
  for (let from = 0; from < text.length; ) {
    const to = endOf(text, from, size);
    const passage = text.slice(from, to);
    if (passage.trim() !== "") {
      passages.push({ text: passage, start: characters.at(from), end: characters.at(to) });
    }
    if (to === text.length) break;
    from = beginOf(text, from, to, Math.floor(size * overlap));
  }
  return passages;
}

function endOf(text: string, from: number, size: number): number {
  const most = from + size;
  if (most >= text.length) return text.length;
  const least = Math.floor(most - size * slack);
  const last = text.slice(least, most);
  for (const boundary of boundaries) {
    const end = [...last.matchAll(boundary)].at(-1);
    if (end !== undefined) return least + end.index + end[0].length;
  }
  return whole(text, most);
}

/** The next passage begins a little before the end of this one, with a word where there are any. */
function beginOf(text: string, from: number, to: number, overlapping: number): number {
  const begin = Math.max(from + 1, to - overlapping);
  const word = text.slice(begin, to).search(/\s\S/);
  return whole(text, word === -1 ? begin : begin + word + 1);
}

/** Not between the halves of a surrogate pair. */
function whole(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff ? at + 1 : at;
}

/** Characters before places of a text that are asked for in order, or nearly so. */
class CharacterCount {
  readonly #text: string;
  #place = 0;
  #count = 0;

  constructor(text: string) {
    this.#text = text;
  }

  at(place: number): number {
    for (; this.#place < place; this.#place++) if (this.#begins(this.#place)) this.#count += 1;
    for (; this.#place > place; this.#place--) if (this.#begins(this.#place - 1)) this.#count -= 1;
    return this.#count;
  }

  /** Whether the unit is no second half of a pair. */
  #begins(place: number): boolean {
    const code = this.#text.charCodeAt(place);
    const before = this.#text.charCodeAt(place - 1);
    const isSecond = code >= 0xdc00 && code <= 0xdfff && before >= 0xd800 && before <= 0xdbff;
    return !isSecond;
  }
}
