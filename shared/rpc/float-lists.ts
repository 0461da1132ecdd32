import { endianness } from "node:os";
import {
  create,
  createFileRegistry,
  type DescField,
  type DescFile,
  type DescMessage,
  fromBinary,
  isFieldSet,
  type Message,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { everyWithin, isFloatList } from "./message-parts.ts";
import { writeMessage } from "./message-writer.ts";

/**
 * A message and its bytes, where embeddings within it are copied as a whole.
 *
 * A float list is a message whose one field is a `repeated float`. Its packed form on the wire is
 * what a Float32Array has in memory, but a decoder that knows nothing of that makes a number of
 * every four bytes, in arrays that grow: for a stream of vectors more work for the garbage
 * collector than all else together. So `decode` gives a Float32Array as the list's field, which
 * reads as an array of numbers does (index, length, iteration), and `encode` takes either.
 */
export interface MessageCodec {
  /** Throws where the bytes are no such message. */
  decode(bytes: Uint8Array): Message;
  /** Takes the fields of a message, too, as `create` does. */
  encode(message: MessageInitShape<DescMessage>): Uint8Array;
}

const codecs = new WeakMap<DescMessage, MessageCodec>();

export function messageCodec(schema: DescMessage): MessageCodec {
  let codec = codecs.get(schema);
  if (codec === undefined) {
    codec = codecOf(schema);
    codecs.set(schema, codec);
  }
  return codec;
}

/**
 * Messages within messages: two for a level of JSON, one for a level of a filter. By default they are
 * 100, and a request with one document that is nested deeper would be refused as a whole, before
 * anybody could say which it is.
 */
const reading = { recursionLimit: 1_000 };

function codecOf(schema: DescMessage): MessageCodec {
  const plan = planOf(schema, new Map());
  // Floats are little-endian on the wire.
  const encode: MessageCodec["encode"] = (message) => writeMessage(schema, message);
  if (plan.steps.length === 0 || hasListInMap(schema) || endianness() !== "LE") {
    return { decode: (bytes) => fromBinary(schema, bytes, reading), encode };
  }
  const twin = twinOf(schema);
  return {
    decode(bytes) {
      const message = fromBinary(twin, bytes, reading);
      const found: FoundList[] = [];
      find(message as Fields, plan, found);
      read(found);
      return message;
    },
    encode,
  };
}

// --- where float lists are within a message ---

type Fields = Message & Record<string, unknown>;

/** A field that is a float list or leads to one. */
interface Step {
  readonly field: DescField;
  readonly list: DescMessage | undefined;
  readonly within: Plan | undefined;
}

interface Plan {
  steps: readonly Step[];
}

/** Messages may contain themselves, so a plan is known before it is complete. */
function planOf(schema: DescMessage, known: Map<DescMessage, Plan>): Plan {
  const before = known.get(schema);
  if (before !== undefined) return before;
  const plan: Plan = { steps: [] };
  known.set(schema, plan);
  const steps: Step[] = [];
  for (const field of schema.fields) {
    const { message } = field;
    if (field.fieldKind === "map" || message === undefined) continue;
    if (isFloatList(message)) {
      steps.push({ field, list: message, within: undefined });
    } else if (everyWithin(message).some(isFloatList)) {
      steps.push({ field, list: undefined, within: planOf(message, known) });
    }
  }
  plan.steps = steps;
  return plan;
}

/** Nobody needs them so far, and they would need ways of their own. */
function hasListInMap(schema: DescMessage): boolean {
  return everyWithin(schema).some(({ fields }) =>
    fields.some(
      ({ fieldKind, message }) =>
        fieldKind === "map" && message !== undefined && everyWithin(message).some(isFloatList),
    ),
  );
}

// --- reading ---

/** A list's bytes, and where its message belongs: `holder[key]`. */
interface FoundList {
  readonly bytes: Uint8Array;
  readonly schema: DescMessage;
  readonly holder: Holder;
  readonly key: string | number;
}

type Holder = Record<string | number, unknown>;

function find(message: Holder, { steps }: Plan, found: FoundList[]): void {
  for (const step of steps) {
    const { field } = step;
    const holder = holderOf(message, field);
    if (holder === undefined) continue;
    const key = field.oneof === undefined ? field.localName : "value";
    if (field.fieldKind !== "list") {
      look(holder, key, step, found);
      continue;
    }
    const items = holder[key] as unknown[];
    for (let i = 0; i < items.length; i++) look(items as unknown as Holder, i, step, found);
  }
}

function look(holder: Holder, key: string | number, step: Step, found: FoundList[]): void {
  if (step.within !== undefined) find(holder[key] as Holder, step.within, found);
  if (step.list === undefined) return;
  found.push({ bytes: holder[key] as Uint8Array, schema: step.list, holder, key });
}

/** The object that has the field's value; undefined where it is not set. */
function holderOf(message: Holder, field: DescField): Holder | undefined {
  if (field.oneof === undefined) {
    return message[field.localName] === undefined ? undefined : message;
  }
  const chosen = message[field.oneof.localName] as { case?: string } & Holder;
  return chosen.case === field.localName ? chosen : undefined;
}

/** All lists of one message share one piece of memory. */
function read(found: readonly FoundList[]): void {
  if (found.length === 0) return;
  const bodies = found.map(({ bytes, schema }) => packedBody(bytes, schema));
  const total = bodies.reduce((sum, body) => sum + (body?.length ?? 0), 0);
  const memory = new Uint8Array(total);
  let at = 0;
  for (const [i, { bytes, schema, holder, key }] of found.entries()) {
    const body = bodies[i];
    if (body === undefined) {
      const message = fromBinary(schema, bytes) as Fields;
      const name = listName(schema);
      message[name] = new Float32Array(message[name] as number[]);
      holder[key] = message;
      continue;
    }
    memory.set(body, at);
    const values = new Float32Array(memory.buffer, at, body.length / floatBytes);
    at += body.length;
    holder[key] = { $typeName: schema.typeName, [listName(schema)]: values };
  }
}

const floatBytes = 4;

/**
 * The floats where the message is one packed field and nothing else, as every writer makes it;
 * undefined where it is not: unpacked, in pieces, or with fields that we do not know.
 */
function packedBody(bytes: Uint8Array, schema: DescMessage): Uint8Array | undefined {
  if (bytes.length === 0) return bytes;
  if (bytes[0] !== packedTag(schema)) return undefined;
  let size = 0;
  let at = 1;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at];
    if (byte === undefined || shift > 28) return undefined;
    size += (byte & 0x7f) * 2 ** shift;
    at += 1;
    if (byte < 0x80) break;
  }
  if (size % floatBytes !== 0 || at + size !== bytes.length) return undefined;
  return bytes.subarray(at);
}

/** Field number and "length-delimited" in one byte; a number above 15 has no such byte. */
function packedTag({ fields: [list] }: DescMessage): number {
  return ((list?.number ?? 0) << 3) | 2;
}

function listName({ fields: [list] }: DescMessage): string {
  return list?.localName ?? "";
}

// --- the twin of a message's description, with bytes where float lists are ---

const twins = new WeakMap<DescFile, ReturnType<typeof createFileRegistry>>();

function twinOf(schema: DescMessage): DescMessage {
  let registry = twins.get(schema.file);
  if (registry === undefined) {
    registry = twinRegistry(schema.file);
    twins.set(schema.file, registry);
  }
  const twin = registry.getMessage(schema.typeName);
  if (twin === undefined) throw new Error(`${schema.typeName} has no twin`);
  return twin;
}

function twinRegistry(root: DescFile): ReturnType<typeof createFileRegistry> {
  const files = new Set<DescFile>();
  const lists = new Set<string>();
  const collect = (file: DescFile) => {
    if (files.has(file)) return;
    for (const dependency of file.dependencies) collect(dependency);
    files.add(file);
    for (const message of everyMessage(file.messages)) {
      if (isFloatList(message)) lists.add(`.${message.typeName}`);
    }
  };
  collect(root);
  const file = [...files].map((one) => {
    // By way of its bytes, so that the description that others use stays as it is.
    const copy = fromBinary(
      FileDescriptorProtoSchema,
      toBinary(FileDescriptorProtoSchema, one.proto),
    );
    for (const message of copy.messageType) replaceLists(message, lists);
    return copy;
  });
  return createFileRegistry(create(FileDescriptorSetSchema, { file }));
}

function* everyMessage(messages: readonly DescMessage[]): Generator<DescMessage> {
  for (const message of messages) {
    yield message;
    yield* everyMessage(message.nestedMessages);
  }
}

function replaceLists(message: DescriptorProto, lists: ReadonlySet<string>): void {
  for (const nested of message.nestedType) replaceLists(nested, lists);
  for (const field of message.field) if (lists.has(field.typeName)) asBytes(field);
}

/** The same on the wire: a message's bytes with their length before them. */
function asBytes(field: FieldDescriptorProto): void {
  field.type = FieldDescriptorProto_Type.BYTES;
  field.typeName = "";
  // An empty message is not the same as none.
  const single = field.label !== FieldDescriptorProto_Label.REPEATED;
  const alone = !isFieldSet(field, FieldDescriptorProtoSchema.field.oneofIndex);
  if (single && alone) field.proto3Optional = true;
}
