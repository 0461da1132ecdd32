/** A stretch of time, in milliseconds since the epoch: from `from` on and before `to`. */
export interface Period {
  readonly from: number;
  readonly to: number;
}

const dayMs = 86_400_000;
const months = [
  "january february march april may june july august september october november december",
  "jan feb mar apr may jun jul aug sep oct nov dec",
].map((line) => line.split(" "));
const weekdays = "sunday monday tuesday wednesday thursday friday saturday".split(" ");
const numbers = "zero one two three four five six seven eight nine ten eleven twelve".split(" ");

const month = `(?<month>${months.flat().join("|")}|sept)\\.?`;
const day = "(?<day>\\d{1,2})(?:st|nd|rd|th)?";
const year = "(?<year>(?:19|20)\\d\\d)";
const unit = "(?<unit>day|week|month|year)";

type Groups = Readonly<Record<string, string | undefined>>;
type Reader = (groups: Groups, now: number) => Period | undefined;

/** How people write times, the more exact ones first; what one of them read, no later one reads. */
const forms: readonly (readonly [RegExp, Reader])[] = [
  [form(`${year}-(?<monthNumber>\\d\\d)-(?<day>\\d\\d)`), readDay],
  [form(`${day}(?: of)? ${month}(?:,? ${year})?`), readDay],
  [form(`${month} ${day}(?!\\d)(?:,? ${year})?`), readDay],
  [form(`${year}-(?<monthNumber>\\d\\d)`), readMonth],
  [form(`${month},? ${year}`), readMonth],
  // Without a word before it, "may" and "march" are mostly no months.
  [form(`(?:in|during|since|last|this|of|early|late|mid) ${month}`), readMonth],
  [form(`(?:in|during|since|of|year) ${year}`), ({ year: y }) => span(Number(y), 0, 1, "year")],
  [form("the day before yesterday"), (_, now) => dayAt(now - 2 * dayMs)],
  [form("yesterday|last night"), (_, now) => dayAt(now - dayMs)],
  [form("today|this morning"), (_, now) => dayAt(now)],
  [form(`(?<which>last|past|previous|this) ${unit}`), readRelative],
  [
    form(`(?<count>\\d{1,4}|an?|${numbers.join("|")}) ${unit}s? ago`),
    ({ count = "", unit: of = "" }, now) => unitAround(now, of, -countOf(count)),
  ],
  [form(`(?<which>last|on|this|since) (?<weekday>${weekdays.join("|")})`), readWeekday],
];

/**
 * The time that a query names, in UTC, seen from `now`: from the beginning of the earliest to the
 * end of the latest one in it. English words and ISO dates are understood; a date without a year
 * is the last one that has begun. Undefined where none is named.
 */
export function namedPeriod(query: string, now: number): Period | undefined {
  let text = query.toLowerCase().replace(/\s+/g, " ").slice(0, mostCharacters);
  let hull: Period | undefined;
  for (const [pattern, read] of forms) {
    text = text.replace(pattern, (whole, ...rest) => {
      const period = read(rest.at(-1) as Groups, now);
      if (period === undefined) return whole;
      hull =
        hull === undefined
          ? period
          : { from: Math.min(hull.from, period.from), to: Math.max(hull.to, period.to) };
      return " | ";
    });
  }
  return hull;
}

/** A question is short; what is longer is a text to be compared, and its dates are its own. */
const mostCharacters = 1_000;

function form(pattern: string): RegExp {
  return new RegExp(`(?<![\\p{L}\\p{N}-])(?:${pattern})(?![\\p{L}\\p{N}])`, "gu");
}

function readDay(groups: Groups, now: number): Period | undefined {
  const at = monthOf(groups);
  const date = Number(groups["day"]);
  const given = groups["year"];
  const thisYear = new Date(now).getUTCFullYear();
  const period = (y: number) => {
    const from = Date.UTC(y, at, date);
    // No 31 February: a date that is none would become another one.
    if (at < 0 || new Date(from).getUTCMonth() !== at || date === 0) return undefined;
    return { from, to: from + dayMs };
  };
  if (given !== undefined) return period(Number(given));
  const recent = period(thisYear);
  return recent !== undefined && recent.from > now ? period(thisYear - 1) : recent;
}

function readMonth(groups: Groups, now: number): Period | undefined {
  const at = monthOf(groups);
  if (at < 0) return undefined;
  const given = groups["year"];
  if (given !== undefined) return span(Number(given), at, 1, "month");
  const thisYear = new Date(now).getUTCFullYear();
  const recent = span(thisYear, at, 1, "month");
  return recent.from > now ? span(thisYear - 1, at, 1, "month") : recent;
}

function monthOf({ month: name, monthNumber }: Groups): number {
  if (monthNumber !== undefined) {
    const number = Number(monthNumber);
    return number >= 1 && number <= 12 ? number - 1 : -1;
  }
  const short = (name ?? "").slice(0, 3);
  return months[1]?.indexOf(short) ?? -1;
}

function readRelative({ which, unit: of = "" }: Groups, now: number): Period {
  if (which === "this") return unitAround(now, of, 0);
  // The past week is the seven days until now; last week is the one before this one.
  if (which === "past") return { from: unitAround(now, of, -1, true).from, to: now + 1 };
  return unitAround(now, of, -1);
}

function readWeekday({ which, weekday = "" }: Groups, now: number): Period {
  const back = (new Date(now).getUTCDay() - weekdays.indexOf(weekday) + 7) % 7;
  return dayAt(now - (back === 0 && which === "last" ? 7 : back) * dayMs);
}

function countOf(count: string): number {
  if (count === "a" || count === "an") return 1;
  const word = numbers.indexOf(count);
  return word >= 0 ? word : Number(count);
}

/** The day, week, month or year that lies so many units away; `exact` begins at the hour of now. */
function unitAround(now: number, of: string, offset: number, exact = false): Period {
  const date = new Date(now);
  const [y, m] = [date.getUTCFullYear(), date.getUTCMonth()];
  switch (of) {
    case "year":
      return exact
        ? spanFrom(Date.UTC(y + offset, m, date.getUTCDate()))
        : span(y + offset, 0, 1, of);
    case "month":
      return exact
        ? spanFrom(Date.UTC(y, m + offset, date.getUTCDate()))
        : span(y, m + offset, 1, of);
    case "week": {
      if (exact) return spanFrom(now + offset * 7 * dayMs);
      // Weeks begin on Monday.
      const monday = dayAt(now).from - ((date.getUTCDay() + 6) % 7) * dayMs + offset * 7 * dayMs;
      return { from: monday, to: monday + 7 * dayMs };
    }
    default:
      return dayAt(now + offset * dayMs);
  }
}

function spanFrom(from: number): Period {
  return { from, to: from + dayMs };
}

function span(y: number, m: number, d: number, of: "month" | "year"): Period {
  const to = of === "month" ? Date.UTC(y, m + 1, d) : Date.UTC(y + 1, m, d);
  return { from: Date.UTC(y, m, d), to };
}

function dayAt(instant: number): Period {
  const from = Math.floor(instant / dayMs) * dayMs;
  return { from, to: from + dayMs };
}
