import type { LabelledConversation, LabelledQuestion, LabelledTurn } from "./labelled-set.ts";

/** A subject of a weekly meeting: how it is asked about, what was answered on each day, and what somebody later asks of each answer. */
interface Subject {
  readonly name: string;
  readonly asked: string;
  readonly answers: readonly (readonly [answer: string, question: string])[];
}

const days = ["2025-03-03", "2025-03-10", "2025-03-17"] as const;
const spoken = ["3 March 2025", "March 10, 2025", "2025-03-17"] as const;

const subjects: readonly Subject[] = [
  {
    name: "the invoice export",
    asked: "Where are we with the invoice export?",
    answers: [
      [
        "Blocked. The tax office wants amounts in cents, and ours have commas.",
        "why was the invoice export blocked?",
      ],
      [
        "Unblocked since Tuesday: integers everywhere, and a converter for the old files.",
        "what was done about commas in amounts?",
      ],
      [
        "Shipped. Forty customers pulled their files on the first day.",
        "how many customers used the invoice export at first?",
      ],
    ],
  },
  {
    name: "the login page",
    asked: "Any news on the login page?",
    answers: [
      [
        "Two designs are left. Mara prefers the one with a single field.",
        "which login design does Mara prefer?",
      ],
      [
        "We took the single field; passwords come on a second screen.",
        "where does the password go on the login page?",
      ],
      [
        "It loses every twentieth visitor, so we go back to one screen.",
        "why did the login page change back?",
      ],
    ],
  },
  {
    name: "the search index",
    asked: "How does the search index do?",
    answers: [
      [
        "Rebuilding takes nine hours. Nobody dares to touch it.",
        "how long does rebuilding the search index take?",
      ],
      [
        "Down to forty minutes by writing in batches of a thousand.",
        "what made the rebuild faster?",
      ],
      [
        "It is incremental now; a full one happens on Sundays only.",
        "when is the index built in full?",
      ],
    ],
  },
  {
    name: "the hiring",
    asked: "What about the hiring?",
    answers: [
      [
        "Three candidates for the data role, and none for support.",
        "for which role are there no candidates?",
      ],
      ["Priya signed. She starts in May.", "who signed, and when does she start?"],
      [
        "Support is still open; we pay an agency from now on.",
        "what do we do about the open support role?",
      ],
    ],
  },
  {
    name: "the office move",
    asked: "And the office move?",
    answers: [
      [
        "The lease ends in August, and the landlord wants a third more.",
        "what does the landlord ask for?",
      ],
      ["We looked at the old brewery. Bright, cheap, no lift.", "what is wrong with the brewery?"],
      ["Brewery it is; the contract is with the lawyers.", "where do we move to?"],
    ],
  },
  {
    name: "the nightly backups",
    asked: "Are the nightly backups fine?",
    answers: [
      [
        "The last restore test failed: the archive was cut off at two gigabytes.",
        "why did the restore test fail?",
      ],
      [
        "We split archives into parts now. The restore took an hour.",
        "how long did the restore take?",
      ],
      [
        "All green for seven nights, and the alarm goes to the phone on duty.",
        "who hears of a failed backup?",
      ],
    ],
  },
  {
    name: "the mobile app",
    asked: "How is the mobile app?",
    answers: [
      [
        "Crashes on old phones when a picture is larger than the screen.",
        "when does the app crash?",
      ],
      [
        "Pictures are scaled before they are shown, and crashes fell by half.",
        "what was done about crashes of the app?",
      ],
      ["The store rated us 4.6. Version 3 goes out on Thursday.", "what rating does the app have?"],
    ],
  },
  {
    name: "the rate limits",
    asked: "What became of the rate limits?",
    answers: [
      [
        "A partner sends 900 requests a second, and we promised 500.",
        "how much does the partner send?",
      ],
      ["They agreed to bursts: 1,000 for ten seconds, then 500.", "what did the partner agree to?"],
      [
        "Nobody was refused in a week, so the alarm is off.",
        "why is the alarm about refused requests off?",
      ],
    ],
  },
  {
    name: "the documentation",
    asked: "Did anyone work on the documentation?",
    answers: [
      [
        "The first page is from 2019 and names a product that we stopped.",
        "what is wrong with the first page?",
      ],
      ["Jonas rewrote it as a tutorial in five steps.", "who wrote the tutorial?"],
      [
        "Readers leave at step four, where a key has to be made by hand.",
        "where do readers give up?",
      ],
    ],
  },
  {
    name: "the payment provider",
    asked: "Where do we stand with the payment provider?",
    answers: [
      ["They raise the fee to 2.4 percent in summer.", "how high will the fee be?"],
      [
        "A rival offers 1.9, but settles only once a week.",
        "what is the disadvantage of the rival?",
      ],
      [
        "We stay, and they keep the old price for two years.",
        "how did the talks about the fee end?",
      ],
    ],
  },
];

const chatter = [
  "Good morning, everyone. Who writes the notes?",
  "I do. Please speak slowly today.",
  "Can we be done in half an hour? I have a dentist to see.",
  "We can if nobody starts on the coffee machine again.",
  "Then let us begin.",
];

/** Who asks in passing hears answers that name nothing: what answers stands beside what matches. */
const fillers = ["Anything else on that?", "Good to hear.", "Hm.", "Let us move on.", "Right."];

function meeting(index: number): LabelledTurn[] {
  const time = new Date(`${days[index]}T09:00:00Z`);
  const say = (role: LabelledTurn["role"], content: string) => ({ role, content, time });
  return [
    ...chatter.map((content, at) =>
      say(at % 2 === 0 ? "user" : "assistant", `${content} (${index + 1})`),
    ),
    ...subjects.flatMap(({ asked, answers }, at) => [
      say("user", asked),
      say("assistant", answers[index]?.[0] ?? ""),
      say("user", `${fillers[at % fillers.length]} (${index + 1}.${at})`),
    ]),
  ];
}

/**
 * Three weekly meetings on ten subjects. Every subject comes up in every meeting in the same words,
 * and its answers hardly name it: what is asked for is told by its own words, by the question before
 * it, or by the day.
 */
export function ownSet(): LabelledConversation[] {
  const sessions = days.map((_, index) => meeting(index));
  const length = sessions[0]?.length ?? 0;
  const placeOf = (session: number, subject: number) =>
    session * length + chatter.length + subject * 3;
  const questions = subjects.flatMap(({ name, answers }, subject) =>
    answers.flatMap(([, question], session): LabelledQuestion[] => {
      const asked = placeOf(session, subject);
      return [
        { kind: "fact", question, evidence: [asked + 1] },
        {
          kind: "time",
          question: `what was said of ${name} on ${spoken[session]}?`,
          evidence: [asked, asked + 1],
        },
      ];
    }),
  );
  const followed = subjects.map(({ name }, subject) => ({
    kind: "neighbour",
    question: `how did it go on with ${name}?`,
    evidence: days.map((_, session) => placeOf(session, subject) + 1),
  }));
  return [{ name: "meetings", sessions, questions: [...questions, ...followed] }];
}
