/** Messages of PostgreSQL's wire protocol 3.0, as far as the embedded server must know them. */

const protocolVersion = 196_608;
const cancelRequestCode = 80_877_102;
const sslRequestCode = 80_877_103;
const gssRequestCode = 80_877_104;

/** Messages that a client may send once it is connected. */
const frontendTypes = new Set([..."QPBDECHSXFdcf"].map((type) => type.charCodeAt(0)));

/** Longest startup message that PostgreSQL takes. */
const largestStartup = 10_000;

/** Longest of the others; PostgreSQL would take 1 GiB. */
const largestMessage = 512 * 1024 * 1024;

export type StartupMessage =
  | { readonly kind: "startup" }
  /** The client asks for encryption; the answer is one byte. */
  | { readonly kind: "encryption" }
  | { readonly kind: "cancel"; readonly processId: number; readonly secret: number };

export interface Message {
  /** One letter. */
  readonly type: string;
  /** Type and length included. */
  readonly bytes: Buffer;
}

/** What a client sent is no message of the protocol. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** Cuts a stream of bytes into messages, whatever the pieces are that it comes in. */
export class MessageReader {
  #chunks: Buffer[] = [];
  #size = 0;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }

  /** The next message before the session begins; undefined until it is complete. */
  startup(): StartupMessage | undefined {
    if (this.#size < 8) return undefined;
    const head = this.#peek(8);
    const length = head.readInt32BE(0);
    if (length < 8 || length > largestStartup) throw new ProtocolError("no startup message");
    if (this.#size < length) return undefined;
    const message = this.#take(length);
    switch (message.readInt32BE(4)) {
      case protocolVersion:
        return { kind: "startup" };
      case sslRequestCode:
      case gssRequestCode:
        return { kind: "encryption" };
      case cancelRequestCode:
        if (length !== 16) throw new ProtocolError("no cancel request");
        return {
          kind: "cancel",
          processId: message.readInt32BE(8),
          secret: message.readInt32BE(12),
        };
      default:
        // Minor versions of 3 differ in nothing that is used here.
        if (message.readInt16BE(4) === 3) return { kind: "startup" };
        throw new ProtocolError("another version of the protocol");
    }
  }

  /** The next message of the session; undefined until it is complete. */
  message(): Message | undefined {
    if (this.#size < 5) return undefined;
    const head = this.#peek(5);
    const type = head.readUInt8(0);
    const length = head.readInt32BE(1);
    // The server inside would take an unknown type for the end of its only session.
    if (!frontendTypes.has(type)) throw new ProtocolError("unknown type of message");
    if (length < 4 || length > largestMessage) throw new ProtocolError("length out of bounds");
    if (this.#size < length + 1) return undefined;
    return { type: String.fromCharCode(type), bytes: this.#take(length + 1) };
  }

  #peek(size: number): Buffer {
    const [first] = this.#chunks;
    return first !== undefined && first.length >= size ? first : this.#joined();
  }

  #take(size: number): Buffer {
    const all = this.#joined();
    const rest = all.subarray(size);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#size = rest.length;
    return all.subarray(0, size);
  }

  #joined(): Buffer {
    const [first] = this.#chunks;
    if (this.#chunks.length === 1 && first !== undefined) return first;
    const all = Buffer.concat(this.#chunks, this.#size);
    this.#chunks = [all];
    return all;
  }
}

/** Where a message names a prepared statement, which of them it means. */
export interface StatementReference {
  readonly name: string;
  /** Where the name begins and ends in the message, without the zero after it. */
  readonly start: number;
  readonly end: number;
}

/** The prepared statement that Parse, Bind, Describe or Close names; "" is the unnamed one. */
export function statementReference({ type, bytes }: Message): StatementReference | undefined {
  let start = 5;
  if (type === "B")
    start = endOfText(bytes, start) + 1; // the portal's name goes first
  else if (type === "D" || type === "C") {
    if (bytes[start] !== "S".charCodeAt(0)) return undefined;
    start += 1;
  } else if (type !== "P") return undefined;
  const end = endOfText(bytes, start);
  return { name: bytes.toString("utf8", start, end), start, end };
}

/** The text of a statement that Query or Parse brings. */
export function statementText(message: Message): string | undefined {
  const { type, bytes } = message;
  const start = type === "Q" ? 5 : type === "P" ? endOfText(bytes, 5) + 1 : undefined;
  return start === undefined ? undefined : bytes.toString("utf8", start, endOfText(bytes, start));
}

export function renamed(message: Message, at: StatementReference, name: string): Message {
  const bytes = Buffer.concat([
    message.bytes.subarray(0, at.start),
    Buffer.from(name),
    message.bytes.subarray(at.end),
  ]);
  bytes.writeInt32BE(bytes.length - 1, 1);
  return { type: message.type, bytes };
}

function endOfText(bytes: Buffer, start: number): number {
  const end = bytes.indexOf(0, start);
  if (end === -1) throw new ProtocolError("a text without an end");
  return end;
}

function message(type: string, ...parts: readonly (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as Buffer)));
  const head = Buffer.alloc(5);
  head.write(type, 0, "latin1");
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

export const sync = message("S");

export function query(text: string): Buffer {
  return message("Q", `${text}\0`);
}

export function closeStatement(name: string): Buffer {
  return message("C", `S${name}\0`);
}

export function startupMessage(parameters: Readonly<Record<string, string>>): Buffer {
  const pairs = Object.entries(parameters).map(([key, value]) => `${key}\0${value}\0`);
  const body = Buffer.from(`${pairs.join("")}\0`);
  const head = Buffer.alloc(8);
  head.writeInt32BE(body.length + 8, 0);
  head.writeInt32BE(protocolVersion, 4);
  return Buffer.concat([head, body]);
}

export function errorResponse(severity: "ERROR" | "FATAL", code: string, text: string): Buffer {
  return message("E", `S${severity}\0V${severity}\0C${code}\0M${text}\0\0`);
}

export type TransactionStatus = "I" | "T" | "E";

export function readyForQuery(status: TransactionStatus): Buffer {
  return message("Z", status);
}

const readyHead = readyForQuery("I").subarray(0, 5);

/** The status that an answer ends with; undefined where it does not end a cycle. */
export function finalStatus(answer: Buffer): TransactionStatus | undefined {
  const tail = answer.subarray(-6);
  if (tail.length < 6 || !tail.subarray(0, 5).equals(readyHead)) return undefined;
  return tail.toString("latin1", 5) as TransactionStatus;
}

const parseComplete = message("1");

/** An answer without the ParseComplete that it begins with. */
export function withoutParseComplete(answer: Buffer): Buffer {
  const begins = answer.subarray(0, parseComplete.length).equals(parseComplete);
  return begins ? answer.subarray(parseComplete.length) : answer;
}

/** The server's greeting with another process id and secret, which a cancel request names. */
export function greetingFor(greeting: Buffer, processId: number, secret: number): Buffer {
  const changed = Buffer.from(greeting);
  for (let at = 0; at + 5 <= changed.length; at += 1 + changed.readInt32BE(at + 1)) {
    if (changed.toString("latin1", at, at + 1) !== "K") continue;
    changed.writeInt32BE(processId, at + 5);
    changed.writeInt32BE(secret, at + 9);
  }
  return changed;
}
