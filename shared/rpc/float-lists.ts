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
  ScalarType,
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
  encode(message: Message): Uint8Array;
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

function codecOf(schema: DescMessage): MessageCodec {
  const plan = planOf(schema, new Map());
  // Floats are little-endian on the wire.
  if (plan.steps.length === 0 || hasListInMap(schema) || endianness() !== "LE") {
    return {
      decode: (bytes) => fromBinary(schema, bytes),
      encode: (message) => toBinary(schema, message),
    };
  }
  const twin = twinOf(schema);
  return {
    decode(bytes) {
      const message = fromBinary(twin, bytes);
      const found: FoundList[] = [];
      find(message as Fields, plan, found);
      read(found);
      return message;
    },
    encode: (message) => toBinary(twin, withBytes(message as Fields, plan) as Message),
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

function isFloatList({ fields: [only, ...others] }: DescMessage): boolean {
  if (only?.fieldKind !== "list" || others.length > 0) return false;
  return only.listKind === "scalar" && only.scalar === ScalarType.FLOAT;
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

/** The message itself and all that may be within it, however deep. */
function everyWithin(schema: DescMessage): DescMessage[] {
  const seen = new Set<DescMessage>([schema]);
  // Grows while it is walked.
  for (const { fields } of seen) {
    for (const { message } of fields) if (message !== undefined) seen.add(message);
  }
  return [...seen];
}

// --- reading ---

interface FoundList {
  readonly bytes: Uint8Array;
  readonly schema: DescMessage;
  /** Puts the message where its bytes are. */
  put(message: Message): void;
}

function find(message: Fields, { steps }: Plan, found: FoundList[]): void {
  for (const { field, list, within } of steps) {
    const holder = holderOf(message, field);
    if (holder === undefined) continue;
    const [parent, key] = holder;
    const value = parent[key];
    const items = field.fieldKind === "list" ? (value as unknown[]) : undefined;
    const each = items ?? [value];
    for (let i = 0; i < each.length; i++) {
      if (list === undefined) {
        find(each[i] as Fields, within ?? { steps: [] }, found);
        continue;
      }
      const put = (read: Message) => {
        if (items === undefined) parent[key] = read;
        else items[i] = read;
      };
      found.push({ bytes: each[i] as Uint8Array, schema: list, put });
    }
  }
}

/** The object that has the field's value, and its name there; undefined where it is not set. */
function holderOf(
  message: Fields,
  field: DescField,
): [Record<string, unknown>, string] | undefined {
  if (field.oneof === undefined) {
    return message[field.localName] === undefined ? undefined : [message, field.localName];
  }
  const chosen = message[field.oneof.localName] as { case?: string; value?: unknown };
  return chosen.case === field.localName ? [chosen, "value"] : undefined;
}

/** All lists of one message share one piece of memory. */
function read(found: readonly FoundList[]): void {
  const bodies = found.map(({ bytes, schema }) => packedBody(bytes, schema));
  const total = bodies.reduce((sum, body) => sum + (body?.length ?? 0), 0);
  const memory = new Uint8Array(total);
  let at = 0;
  for (const [i, { bytes, schema, put }] of found.entries()) {
    const body = bodies[i];
    if (body === undefined) {
      const message = fromBinary(schema, bytes) as Fields;
      const name = listName(schema);
      message[name] = new Float32Array(message[name] as number[]);
      put(message);
      continue;
    }
    memory.set(body, at);
    const values = new Float32Array(memory.buffer, at, body.length / floatBytes);
    at += body.length;
    put({ $typeName: schema.typeName, [listName(schema)]: values } as unknown as Message);
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

// --- writing ---

/** A copy in which float lists are bytes; what holds none is not copied. */
function withBytes(message: Fields, { steps }: Plan): Fields {
  const copy: Fields = { ...message };
  for (const { field, list, within } of steps) {
    const holder = holderOf(message, field);
    if (holder === undefined) continue;
    const [parent, key] = holder;
    const written = (value: unknown): unknown =>
      list === undefined
        ? withBytes(value as Fields, within ?? { steps: [] })
        : listBytes(value as Fields, list);
    const value =
      field.fieldKind === "list" ? (parent[key] as unknown[]).map(written) : written(parent[key]);
    if (field.oneof === undefined) copy[field.localName] = value;
    else copy[field.oneof.localName] = { case: field.localName, value };
  }
  return copy;
}

function listBytes(message: Fields, schema: DescMessage): Uint8Array {
  const values = message[listName(schema)] as ArrayLike<number>;
  if (values.length === 0 || message.$unknown !== undefined || packedTag(schema) > 0x7f) {
    return toBinary(schema, message);
  }
  const header = [packedTag(schema)];
  let size = values.length * floatBytes;
  for (; size > 0x7f; size = Math.floor(size / 0x80)) header.push((size % 0x80) | 0x80);
  header.push(size);
  // Begins where floats may, so that they can be copied as floats.
  const start = Math.ceil(header.length / floatBytes) * floatBytes;
  const memory = new ArrayBuffer(start + values.length * floatBytes);
  new Float32Array(memory, start).set(values);
  const bytes = new Uint8Array(memory, start - header.length);
  bytes.set(header);
  return bytes;
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
