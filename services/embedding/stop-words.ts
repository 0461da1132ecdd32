/**
 * Words that say little about what a text is about, in English, German, French, Spanish, Italian
 * and Portuguese, folded as the words of a text are. Words that mean something in another of these
 * languages are left out (German `die`, `war`; Spanish `son`).
 */
export const stopWords: ReadonlySet<string> = new Set(
  [
    "a an the and or but if of to in on at by for from with without about into over is are was were",
    "be been being am do does did doing done has have had having will would can could should may",
    "might must shall not no nor so than then too very just this that these those there here it its",
    "i you he she we they me him her us them my your his our their what which who whom how when",
    "where why as s t d ll re ve m don",
    "der das und ist nicht ein eine einen mit auf fur von zu den dem sich auch es im",
    "le la les un une du des et est en que qui dans pour sur au ce il elle",
    "el los las y por con una del lo se su al como",
    "di che non per sono della il e uma os um na no ao",
  ]
    .join(" ")
    .split(" "),
);
