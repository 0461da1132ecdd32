import type { Socket } from "node:net";
import type { SessionUser, SharedSession } from "./embedded-postgres-session.ts";
import {
  closeStatement,
  errorResponse,
  greetingFor,
  type Message,
  MessageReader,
  ProtocolError,
  readyForQuery,
  renamed,
  statementReference,
  statementText,
  sync,
  withoutParseComplete,
} from "./embedded-postgres-wire.ts";

export interface ConnectionOptions {
  readonly socket: Socket;
  readonly session: SharedSession;
  /** Distinct among connections that are open; what a cancel request names. */
  readonly processId: number;
  readonly secret: number;
  readonly greeting: Buffer;
  /** There are too many connections: refuse this one, in the protocol's words. */
  readonly refused: boolean;
  readonly onCancel: (processId: number, secret: number) => void;
  /** The server inside failed; it is of no more use. */
  readonly onFailure: (error: unknown) => void;
}

/** Messages that end a turn: Sync, Query, Function call, and Flush, which leaves the turn open. */
const endsTurn = new Set(["S", "Q", "F", "H"]);

/** What PGlite cannot take over a socket; it would lose its only session over it. */
const copyIn = /(^|;)\s*copy\s[^;]*\sfrom\s+stdin\b/i;

/** One client on the shared session, as if the session were its own. */
export class EmbeddedConnection implements SessionUser {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #session: SharedSession;
  readonly #reader = new MessageReader();
  /** Names of prepared statements as this client knows them, and as the session does. */
  readonly #names = new Map<string, string>();
  #namesMade = 0;
  /** The Parse of this client's unnamed statement, to be done again when another has replaced it. */
  #unnamed: Buffer | undefined;
  #batch: Message[] = [];
  #started = false;
  #busy = false;
  #gone = false;
  #skipping = false;
  /** Resolves when everything that the client left behind is cleaned up. */
  readonly closed: Promise<void>;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#socket = options.socket;
    this.#session = options.session;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#socket.setNoDelay(true);
    this.#socket.on("data", (chunk: Buffer) => {
      this.#reader.push(chunk);
      void this.#work();
    });
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => {
      this.#gone = true;
      this.#session.withdraw(this);
      void this.#leave().finally(resolve);
    });
  }

  /** Whether a cancel request with these numbers means this client. */
  isNamed(processId: number, secret: number): boolean {
    return processId === this.#options.processId && secret === this.#options.secret;
  }

  /** Takes back what waits for its turn; a statement that runs cannot be stopped. */
  cancel(): void {
    this.#session.withdraw(this);
  }

  transactionTimedOut(): void {
    this.#end("25P03", "terminating connection: its transaction kept others waiting");
  }

  /** For shutdown. */
  stop(): void {
    this.#end("57P01", "terminating connection due to administrator command");
  }

  async #work(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    this.#socket.pause();
    try {
      while (!this.#gone && (this.#started ? await this.#serveMessage() : this.#serveStartup()));
    } catch (error) {
      if (error instanceof ProtocolError)
        this.#end("08P01", `protocol violation: ${error.message}`);
      else {
        this.#end("XX000", "the embedded server failed");
        this.#options.onFailure(error);
      }
    }
    this.#busy = false;
    this.#socket.resume();
  }

  /** False when there is no complete message. */
  #serveStartup(): boolean {
    const message = this.#reader.startup();
    if (message === undefined) return false;
    switch (message.kind) {
      case "encryption":
        this.#socket.write("N");
        return true;
      case "cancel":
        this.#options.onCancel(message.processId, message.secret);
        this.#socket.end();
        this.#gone = true;
        return false;
      case "startup":
        if (this.#options.refused) {
          this.#end("53300", "sorry, too many clients already");
          return false;
        }
        this.#started = true;
        this.#write(
          greetingFor(this.#options.greeting, this.#options.processId, this.#options.secret),
        );
        return true;
    }
  }

  /** False when there is no complete message. */
  async #serveMessage(): Promise<boolean> {
    const message = this.#reader.message();
    if (message === undefined) return false;
    if (message.type === "X") {
      this.#socket.end();
      this.#gone = true;
      return false;
    }
    // Left-overs of a COPY that was refused.
    if ("dcf".includes(message.type)) return true;
    if (copyIn.test(statementText(message) ?? "")) return this.#refuseCopy(message);
    if (this.#skipping && message.type !== "S") return true;
    if (this.#skipping) {
      this.#skipping = false;
      this.#batch = [];
    }
    this.#batch.push(message);
    if (endsTurn.has(message.type)) {
      const batch = this.#batch;
      this.#batch = [];
      await this.#serveBatch(batch);
    }
    return true;
  }

  async #serveBatch(batch: readonly Message[]): Promise<void> {
    let restored = false;
    const answer = await this.#session.take(this, () => {
      const { messages, restore } = this.#translate(batch);
      restored = restore !== undefined;
      return Buffer.concat(restore === undefined ? messages : [restore, ...messages]);
    });
    if (answer !== undefined) return this.#write(restored ? withoutParseComplete(answer) : answer);
    this.#write(errorResponse("ERROR", "57014", "canceling statement due to user request"));
    if (batch.at(-1)?.type === "H") this.#skipping = true;
    else this.#write(readyForQuery(this.#session.owns(this) ? "T" : "I"));
  }

  /** The batch under names that no other client has; called when its turn has come. */
  #translate(batch: readonly Message[]): { messages: Buffer[]; restore: Buffer | undefined } {
    let restore: Buffer | undefined;
    const messages = batch.map((message) => {
      // A simple query drops the unnamed statement, as it does on any server.
      if (message.type === "Q") {
        this.#unnamed = undefined;
        this.#session.unnamedOwner = undefined;
      }
      const at = statementReference(message);
      if (at === undefined) return message.bytes;
      if (at.name !== "") return renamed(message, at, this.#ownName(message.type, at.name)).bytes;
      if (message.type === "P") {
        this.#unnamed = message.bytes;
        this.#session.unnamedOwner = this;
      } else if (this.#session.unnamedOwner !== this && this.#unnamed !== undefined) {
        restore = this.#unnamed;
        this.#session.unnamedOwner = this;
      }
      return message.bytes;
    });
    return { messages, restore };
  }

  #ownName(type: string, name: string): string {
    const known = this.#names.get(name);
    if (type === "C") this.#names.delete(name);
    if (known !== undefined) return known;
    this.#namesMade += 1;
    const made = `c${this.#options.processId}_${this.#namesMade}`;
    if (type === "P") this.#names.set(name, made);
    return made;
  }

  /** Answers with an error, and skips the rest of an extended query. */
  #refuseCopy(message: Message): boolean {
    this.#write(
      errorResponse("ERROR", "0A000", "the embedded PostgreSQL does not take COPY FROM STDIN"),
    );
    if (message.type === "Q") this.#write(readyForQuery(this.#session.owns(this) ? "T" : "I"));
    else this.#skipping = true;
    return true;
  }

  async #leave(): Promise<void> {
    const close = [...this.#names.values()].map(closeStatement);
    const cleanUp = close.length === 0 ? [] : [...close, sync];
    await this.#session.leave(this, Buffer.concat(cleanUp)).catch(this.#options.onFailure);
  }

  #end(code: string, text: string): void {
    if (!this.#gone) this.#socket.end(errorResponse("FATAL", code, text));
    this.#gone = true;
    // A client that does not close its side would stay for ever.
    setTimeout(() => this.#socket.destroy(), 1_000).unref();
  }

  #write(bytes: Buffer): void {
    if (!this.#gone && this.#socket.writable) this.#socket.write(bytes);
  }
}
