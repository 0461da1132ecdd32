/**
 * A small labelled set: each question is answered by the passage beside it, and the passages of
 * all others are the distraction. Questions use other forms of the words, misspell them, leave out
 * accents, split names that the passage runs together, or ask in another language than English.
 */
export const retrievalCases: readonly { readonly question: string; readonly passage: string }[] = [
  {
    question: "how are embeddings batched?",
    passage:
      "The worker gathers texts until it has a full batch and then embeds all of them with one request, since a request per text wastes most of its time on the way. It waits a few milliseconds at most.",
  },
  {
    question: "configuring connection pools",
    passage:
      "The pool is configured by pool_size and max_overflow. Each connection costs the server memory, so the sum over all processes must stay below its limit, whatever each of them would like.",
  },
  {
    question: "getUserProfile timeout",
    passage:
      "Calls of get_user_profile time out after five seconds. The user service answers slowly when its cache is cold, and the profile page then shows the name alone.",
  },
  {
    question: "retry with exponential back-off",
    passage:
      "A transient failure is retried three times. The delay doubles exponentially with each attempt and is jittered, so that clients that failed together do not return together.",
  },
  {
    question: "deletion of old conversations",
    passage:
      "Conversations older than ninety days are deleted every night. Deleting is total: the turns, their vectors and the links between both go in one transaction.",
  },
  {
    question: "wich index is aproximate",
    passage:
      "HNSW is an approximate index: it finds most of the nearest neighbours quickly, and misses some. An exact scan misses none and reads everything.",
  },
  {
    question: "migrating a database schema",
    passage:
      "Migrations are numbered files. Each runs once in its own transaction, and a migration that has landed is never edited; a mistake in the schema is repaired by the next number.",
  },
  {
    question: "parseConfigFile error",
    passage:
      "When the file cannot be read, parse config file reports every wrong key with its line. An unknown key is an error too, because it is mostly a misspelled one.",
  },
  {
    question: "Kubernetes readiness probes",
    passage:
      "The pod is ready when the gRPC health service says SERVING. Kubernetes probes it every ten seconds and takes the pod out of the load balancer when it is not.",
  },
  {
    question: "why do tests fail intermittently",
    passage:
      "A flaky test mostly depends on time or on order. Run the failing one alone a hundred times; if it passes, another test leaves something behind.",
  },
  {
    question: "cafe opening hours",
    passage:
      "Le Café du Théâtre est ouvert tous les jours de huit heures à minuit. Opening hours differ on holidays.",
  },
  {
    question: "Strassenbahn nach Zürich",
    passage:
      "Die Straßenbahn fährt alle zehn Minuten; nach Zurich nimmt man am Bahnhof den Zug, der stündlich verkehrt.",
  },
  {
    question: "mejores practicas de programacion",
    passage:
      "Las mejores prácticas de programación: nombres claros, funciones cortas, pruebas que fallan por una sola razón.",
  },
  {
    question: "резервное копирование базы",
    passage:
      "Резервная копия базы данных создаётся каждую ночь. Копирование занимает около часа, и восстановление проверяется раз в неделю.",
  },
  {
    question: "機械学習の評価",
    passage:
      "機械学習モデルを評価するには、訓練に使わなかったデータを用意します。評価の指標は目的に合わせて選びます。",
  },
  {
    question: "数据库索引",
    passage: "在数据库中建立索引可以加快查询速度，但每次写入都要更新索引，因此会变慢。",
  },
  {
    question: "데이터 저장",
    passage: "데이터를 저장하기 전에 검증합니다. 저장된 데이터는 매일 밤 백업됩니다.",
  },
  {
    question: "encrypting backups at rest",
    passage:
      "Each backup is encrypted with a key of its own before it leaves the machine. The key is kept in the vault; without it the file at the storage provider is noise.",
  },
  {
    question: "memory leak in stream handlers",
    passage:
      "The handler added a listener for each message and removed none, so memory grew with the stream. It leaked about a kilobyte a message.",
  },
  {
    question: "authentication tokens expiry",
    passage:
      "A token expires after an hour. The client authenticates again with its refresh token; if that one has expired as well, the user has to sign in.",
  },
  {
    question: "splitting documents into chunks",
    passage:
      "A document is split at its headings first and at paragraphs second. A chunk has about a thousand tokens, and twenty of them overlap with the one before.",
  },
  {
    question: "deduplicate by content hash",
    passage:
      "Content that is stored already is not stored again: its hash is looked up within the scope, and the duplicate's caller gets the id of the first.",
  },
  {
    question: "logging without payloads",
    passage:
      "Logs hold identifiers, counts and durations. They never hold what users wrote: a payload in a log outlives every deletion.",
  },
  {
    question: "graceful shutdown on SIGTERM",
    passage:
      "At SIGTERM the server shuts down gracefully: it takes no new calls, lets those in flight end within ten seconds, and closes what it opened in reverse.",
  },
  {
    question: "rate limiter bursts",
    passage:
      "The limiter is a bucket of tokens that refills at a steady rate. A client that was quiet for long may burst until the bucket is empty.",
  },
  {
    question: "translating user interface strings",
    passage:
      "Strings of the interface live in one catalogue per language. Translators see the string with a picture of the screen it is used on.",
  },
  {
    question: "invoice rounding differences",
    passage:
      "Amounts are integers of cents. Tax is rounded once per invoice, not per line, so that the difference between both never exceeds one cent.",
  },
  {
    question: "pyproject dependency resolution",
    passage:
      "Dependencies stand in pyproject.toml with lower bounds only. The lock file resolves them to exact versions, and a robot renews it weekly.",
  },
  {
    question: "webhook signature verification",
    passage:
      "The sender signs each webhook. Verify the signature over the raw body before parsing; a body that was parsed and printed again has other bytes.",
  },
  {
    question: "image thumbnails generation",
    passage:
      "Thumbnails are generated when an image is first asked for and kept for a month. Generating them at upload was slower for everyone.",
  },
  {
    question: "async iterator cancellation",
    passage:
      "Breaking out of a loop over an asynchronous iterator cancels it: the iterator's return method runs, and with it the finally block that frees the socket.",
  },
  {
    question: "🚀 launch checklist",
    passage:
      "🚀 Before we launch: dashboards are watched, the way back is rehearsed, the page for outages is written, and somebody is awake.",
  },
  {
    question: "leader election between replicas",
    passage:
      "Replicas elect a leader through a lease in the database. The elected one renews it every second; when it stops, another replica takes over within five.",
  },
  {
    question: "full text searching with stemming",
    passage:
      "Text search reduces words to their stems, so that searched and searching find each other. Stop words are dropped before.",
  },
  {
    question: "unicode normalisation of file names",
    passage:
      "File names arrive in two normal forms. Names are normalised to NFC before they are compared, as Unicode has several ways to write one letter.",
  },
  {
    question: "what to do when disk is full",
    passage:
      "With a full disk the database stops accepting writes. Free space first, by removing old archives; restarting does not help and may take long.",
  },
];
