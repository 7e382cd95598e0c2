// The header of a GGUF file, versions 2 and 3, little-endian: counts, metadata,
// tensor entries (github.com/ggml-org/ggml, docs/gguf.md). Read strictly: every
// byte is accounted for, and nothing is allocated from a number that the file's
// own size does not bear out. (@huggingface/gguf, the tests' oracle, reads past
// the end of a file as zeros, and lets repeated keys and broken UTF-8 pass.)

import { CheckpointError, UnsupportedModelError } from "../base/errors.ts";
import { excerpt } from "../base/excerpt.ts";
import type { RandomAccessFile } from "./random_access_file.ts";

/** Key-value metadata; 64-bit integers are numbers. */
export type GgufMetadata = ReadonlyMap<string, unknown>;

/** A tensor as the header has it: nothing but its form is checked. */
export interface GgufTensorEntry {
  readonly name: string;
  /** Outermost axis first. */
  readonly shape: readonly number[];
  /** ggml's number of the type. */
  readonly type: number;
  /** From the start of the tensor data. */
  readonly offset: number;
}

/** A header. */
export interface GgufHeader {
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensorEntry[];
  /** Bytes from the file's start to the end of the header, before padding. */
  readonly byteLength: number;
}

/** Vocabulary and merges of the largest models take 2^24. */
const MAX_HEADER_BYTES = 2 ** 28;

/** In all arrays together; the largest vocabularies have 2^18 tokens with as many types and scores, and 2^19 merges. */
const MAX_ITEMS = 2 ** 24;

/** The format's limit for keys. */
const MAX_NAME_BYTES = 65535;

/** ggml's. */
const MAX_AXES = 4;

/** By the format's number of a value type: least bytes, and how one is read. */
const VALUE_TYPES: readonly (
  readonly [name: string, bytes: number, read?: (cursor: Cursor) => unknown]
)[] = [
  ["UINT8", 1, (at) => at.view(1).getUint8(0)],
  ["INT8", 1, (at) => at.view(1).getInt8(0)],
  ["UINT16", 2, (at) => at.view(2).getUint16(0, true)],
  ["INT16", 2, (at) => at.view(2).getInt16(0, true)],
  ["UINT32", 4, (at) => at.u32()],
  ["INT32", 4, (at) => at.view(4).getInt32(0, true)],
  ["FLOAT32", 4, (at) => at.view(4).getFloat32(0, true)],
  ["BOOL", 1, (at) => at.bool()],
  ["STRING", 8, (at) => at.string()],
  ["ARRAY", 12],
  ["UINT64", 8, (at) => Number(at.u64())],
  ["INT64", 8, (at) => Number(at.view(8).getBigInt64(0, true))],
  ["FLOAT64", 8, (at) => at.view(8).getFloat64(0, true)],
];

/** Reads forward; every failure names the item that is being read. */
class Cursor {
  /** What is being read, for messages. */
  item = "the preamble";
  readonly #file: RandomAccessFile;
  readonly #end: number;
  #position = 0;
  #chunk: Uint8Array = new Uint8Array(0);
  #chunkStart = 0;
  readonly #decoder = new TextDecoder("utf-8", {
    fatal: true,
    ignoreBOM: true,
  });

  constructor(file: RandomAccessFile) {
    this.#file = file;
    this.#end = Math.min(file.size, MAX_HEADER_BYTES);
  }

  get position(): number {
    return this.#position;
  }

  get left(): number {
    return this.#end - this.#position;
  }

  fail(reason: string): never {
    throw new CheckpointError(
      `Cannot read ${this.item} of ${this.#file.path} as ${reason}`,
    );
  }

  bytes(length: number): Uint8Array {
    if (length > this.left) {
      this.fail(
        `it takes ${length} bytes from byte ${this.#position} on: the file has ${this.#file.size}${
          this.#end < this.#file.size ? `, a header at most ${this.#end}` : ""
        }`,
      );
    }
    const from = this.#position - this.#chunkStart;
    if (from + length > this.#chunk.length) {
      this.#chunkStart = this.#position;
      this.#chunk = this.#file.read(
        this.#position,
        Math.min(this.left, Math.max(length, 1 << 16)),
      );
      this.#position += length;
      return this.#chunk.subarray(0, length);
    }
    this.#position += length;
    return this.#chunk.subarray(from, from + length);
  }

  view(length: number): DataView {
    const { buffer, byteOffset } = this.bytes(length);
    return new DataView(buffer, byteOffset, length);
  }

  u32(): number {
    return this.view(4).getUint32(0, true);
  }

  u64(): bigint {
    return this.view(8).getBigUint64(0, true);
  }

  bool(): boolean {
    const byte = this.view(1).getUint8(0);
    if (byte > 1) this.fail(`a BOOL must be 0 or 1: current value is ${byte}`);
    return byte === 1;
  }

  string(maxBytes = MAX_HEADER_BYTES): string {
    const length = this.u64();
    if (length > Math.min(maxBytes, this.left)) {
      this.fail(
        `a string must have at most ${
          Math.min(maxBytes, this.left)
        } bytes of the ${this.left} that are left: current length is ${length}`,
      );
    }
    const bytes = this.bytes(Number(length));
    try {
      return this.#decoder.decode(bytes);
    } catch {
      this.fail("a string is not UTF-8");
    }
  }
}

/**
 * Reads and checks a header.
 *
 * @param file The opened file.
 * @returns Metadata and tensor entries, in the file's order.
 * @throws {CheckpointError} If it is truncated, contradicts itself, or is no GGUF.
 * @throws {UnsupportedModelError} If it is version 1, a future one, or big-endian.
 */
export function readGgufHeader(file: RandomAccessFile): GgufHeader {
  const cursor = new Cursor(file);
  const counts = readPreamble(cursor, file);
  const metadata = new Map<string, unknown>();
  let items = 0;
  for (let i = 0; i < counts.keys; i++) {
    cursor.item = `metadata key ${i}`;
    const key = cursor.string(MAX_NAME_BYTES);
    cursor.item = `metadata ${excerpt(key)}`;
    if (metadata.has(key)) cursor.fail("the key is there twice");
    if (key === "__proto__") cursor.fail("the key is reserved");
    const value = readValue(cursor, MAX_ITEMS - items);
    if (Array.isArray(value)) items += value.length;
    metadata.set(key, value);
  }
  const tensors: GgufTensorEntry[] = [];
  for (let i = 0; i < counts.tensors; i++) {
    cursor.item = `tensor ${i}`;
    const name = cursor.string(MAX_NAME_BYTES);
    cursor.item = `tensor ${excerpt(name)}`;
    tensors.push(readTensorEntry(cursor, name));
  }
  return { metadata, tensors, byteLength: cursor.position };
}

/** Checks magic, version and counts before anything is allocated. */
function readPreamble(
  cursor: Cursor,
  file: RandomAccessFile,
): { tensors: number; keys: number } {
  const magic = file.size < 4
    ? ""
    : new TextDecoder("latin1").decode(cursor.bytes(4));
  if (magic !== "GGUF") {
    throw new CheckpointError(
      `Cannot read ${file.path} as a GGUF file begins with GGUF: found ${
        excerpt(magic)
      }`,
    );
  }
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    throw new UnsupportedModelError(
      `Cannot read ${file.path} as its version must be 2 or 3, little-endian: current value is ${version}`,
    );
  }
  const tensors = cursor.u64();
  const keys = cursor.u64();
  // A tensor's entry takes at least 24 bytes, a key's 13.
  if (tensors * 24n + keys * 13n > BigInt(cursor.left)) {
    throw new CheckpointError(
      `Cannot read ${file.path} as ${tensors} tensors and ${keys} keys do not fit in ${file.size} bytes`,
    );
  }
  return { tensors: Number(tensors), keys: Number(keys) };
}

function readValue(cursor: Cursor, maxItems: number): unknown {
  const type = valueType(cursor);
  if (type[2] !== undefined) return type[2](cursor);
  const [name, bytes, read] = valueType(cursor);
  if (read === undefined) cursor.fail("arrays of arrays are not supported");
  const count = cursor.u64();
  const allowed = Math.min(maxItems, Math.floor(cursor.left / bytes));
  if (count > allowed) {
    cursor.fail(
      `an array of ${name} must have at most ${allowed} items in the ${cursor.left} bytes that are left: current number is ${count}`,
    );
  }
  return Array.from({ length: Number(count) }, () => read(cursor));
}

function valueType(cursor: Cursor) {
  const number = cursor.u32();
  return VALUE_TYPES[number] ?? cursor.fail(
    `its value type must be 0 to ${
      VALUE_TYPES.length - 1
    }: current value is ${number}`,
  );
}

function readTensorEntry(cursor: Cursor, name: string): GgufTensorEntry {
  const axes = cursor.u32();
  if (axes < 1 || axes > MAX_AXES) {
    cursor.fail(
      `it must have 1 to ${MAX_AXES} axes: current number is ${axes}`,
    );
  }
  // The file has the innermost axis first.
  const shape = Array.from({ length: axes }, () => Number(cursor.u64()))
    .reverse();
  return {
    name,
    shape,
    type: cursor.u32(),
    offset: Number(cursor.u64()),
  };
}
