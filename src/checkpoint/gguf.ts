// Reads GGUF versions 2 and 3, little-endian. @huggingface/gguf parses the header;
// it accepts truncated files, lets a key named __proto__ or a repeated key vanish,
// and may cut a string at the end of a chunk it read. So the header is measured
// again from what was parsed, and every tensor's range is checked against the file.

import {
  GGMLQuantizationType,
  gguf,
  type GGUFTensorInfo,
  GGUFValueType,
} from "@huggingface/gguf";
import { CheckpointError, UnsupportedModelError } from "../base/errors.ts";
import { type Tensor, tensor } from "../base/tensor.ts";
import { assertFinite } from "./finite.ts";
import {
  blockSize,
  dequantize,
  GGUF_TENSOR_TYPES,
  isGgufTensorType,
} from "./gguf_dequantize.ts";
import { RandomAccessFile } from "./random_access_file.ts";
import type { TensorInfo, TensorSource } from "./tensor_source.ts";

/** A GGUF's key-value metadata; 64-bit integers are numbers. */
export type GgufMetadata = ReadonlyMap<string, unknown>;

/** An opened GGUF: metadata, and tensors under GGUF's own names, outermost axis first. */
export interface GgufFile {
  readonly path: string;
  readonly metadata: GgufMetadata;
  readonly tensors: TensorSource;
}

interface GgufEntry extends TensorInfo {
  /** From the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/**
 * Opens a GGUF file.
 *
 * @param path The file.
 * @returns Its metadata and tensors.
 * @throws {CheckpointError} If it is truncated, contradicts itself, or is no GGUF.
 * @throws {UnsupportedModelError} If it is version 1, big-endian or split over files.
 */
export async function openGguf(path: string): Promise<GgufFile> {
  const file = await RandomAccessFile.open(path);
  try {
    const keys = checkPreamble(file);
    const parsed = await parseHeader(path);
    if (!parsed.littleEndian) {
      throw new UnsupportedModelError(
        `Cannot read ${path} as big-endian GGUF files are not supported`,
      );
    }
    const entries = metadataEntries(parsed.typedMetadata);
    const measured = entries.reduce(
      (sum, [key, { value, type, subType }]) =>
        sum + stringBytes(key) + 4 + valueBytes(value, type, subType),
      PREAMBLE_BYTES,
    );
    if (
      entries.length !== keys || entries.some(([key]) => key === "__proto__") ||
      measured !== parsed.tensorInfoByteRange[0]
    ) {
      throw new CheckpointError(
        `Cannot read the metadata of ${path} as it has a key twice, a reserved key, a string that is not UTF-8, or ends too early`,
      );
    }
    const metadata = new Map(
      entries.map(([key, { value }]) => [key, toNumbers(value)]),
    );
    if (metadata.has("split.count") && metadata.get("split.count") !== 1) {
      throw new UnsupportedModelError(
        `Cannot read ${path} as it is one part of a split GGUF: join the parts first (llama-gguf-split --merge)`,
      );
    }
    const tensors = checkTensors(
      file,
      parsed.tensorInfos,
      Number(parsed.tensorDataOffset),
      metadata.get("general.alignment") ?? 32,
    );
    return { path, metadata, tensors: new GgufSource(file, tensors) };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Magic, version, number of tensors, number of keys. */
const PREAMBLE_BYTES = 24;

/** Checks magic, version and counts before the parser allocates anything; returns the number of keys. */
function checkPreamble(file: RandomAccessFile): number {
  if (
    file.size < PREAMBLE_BYTES ||
    new TextDecoder("latin1").decode(file.read(0, 4)) !== "GGUF"
  ) {
    throw new CheckpointError(
      `Cannot read ${file.path} as a GGUF file begins with GGUF`,
    );
  }
  const view = new DataView(file.read(0, PREAMBLE_BYTES).buffer);
  const version = view.getUint32(4, true);
  if (version !== 2 && version !== 3) {
    throw new UnsupportedModelError(
      `Cannot read ${file.path} as its version must be 2 or 3, little-endian: current value is ${version}`,
    );
  }
  // A tensor's entry takes at least 24 bytes, a key's 13.
  const tensors = view.getBigUint64(8, true);
  const keys = view.getBigUint64(16, true);
  if (tensors * 24n + keys * 13n > BigInt(file.size)) {
    throw new CheckpointError(
      `Cannot read ${file.path} as ${tensors} tensors and ${keys} keys do not fit in ${file.size} bytes`,
    );
  }
  return Number(keys);
}

async function parseHeader(path: string) {
  try {
    return await gguf(path, { typedMetadata: true, allowLocalFile: true });
  } catch (error) {
    throw new CheckpointError(
      `Cannot read the header of ${path}: ${(error as Error).message}`,
    );
  }
}

/** A value as the parser returns it, with the type that it has in the file. */
interface TypedValue {
  readonly value: unknown;
  readonly type: GGUFValueType;
  readonly subType?: GGUFValueType;
}

/** The file's own keys; the parser adds three for the preamble. */
function metadataEntries(typed: object): [string, TypedValue][] {
  return Object.entries(typed as Record<string, TypedValue>).filter(([key]) =>
    key !== "version" && key !== "tensor_count" && key !== "kv_count"
  );
}

const utf8 = new TextEncoder();

function stringBytes(value: string): number {
  return 8 + utf8.encode(value).length;
}

const SCALAR_BYTES: Readonly<Partial<Record<GGUFValueType, number>>> = {
  [GGUFValueType.UINT8]: 1,
  [GGUFValueType.INT8]: 1,
  [GGUFValueType.BOOL]: 1,
  [GGUFValueType.UINT16]: 2,
  [GGUFValueType.INT16]: 2,
  [GGUFValueType.UINT32]: 4,
  [GGUFValueType.INT32]: 4,
  [GGUFValueType.FLOAT32]: 4,
  [GGUFValueType.UINT64]: 8,
  [GGUFValueType.INT64]: 8,
  [GGUFValueType.FLOAT64]: 8,
};

/** Bytes that a parsed value takes in the file; NaN for nested arrays, which no model has. */
function valueBytes(
  value: unknown,
  type: GGUFValueType,
  subType: GGUFValueType | undefined,
): number {
  if (type === GGUFValueType.STRING) return stringBytes(value as string);
  if (type !== GGUFValueType.ARRAY) return SCALAR_BYTES[type] ?? NaN;
  const items = value as unknown[];
  if (subType === GGUFValueType.STRING) {
    return 12 +
      (items as string[]).reduce((sum, item) => sum + stringBytes(item), 0);
  }
  const size = subType === undefined ? undefined : SCALAR_BYTES[subType];
  return 12 + items.length * (size ?? NaN);
}

function toNumbers(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  return Array.isArray(value) ? value.map(toNumbers) : value;
}

function checkTensors(
  file: RandomAccessFile,
  infos: readonly GGUFTensorInfo[],
  dataStart: number,
  alignment: unknown,
): readonly GgufEntry[] {
  if (
    typeof alignment !== "number" || alignment < 1 || alignment > 65536 ||
    (alignment & (alignment - 1)) !== 0
  ) {
    throw new CheckpointError(
      `Cannot read ${file.path} as general.alignment must be a power of 2 up to 65536: current value is ${alignment}`,
    );
  }
  const names = new Set<string>();
  const entries = infos.map((info) => {
    const fail = (reason: string): never => {
      throw new CheckpointError(
        `Cannot read tensor "${info.name}" of ${file.path} as ${reason}`,
      );
    };
    if (names.has(info.name)) fail("the name is there twice");
    names.add(info.name);
    const type = GGMLQuantizationType[info.dtype];
    if (type === undefined) {
      return fail(`its type is unknown: current value is ${info.dtype}`);
    }
    const shape = info.shape.map(Number).reverse();
    const storedType: string = type;
    if (!isGgufTensorType(storedType)) {
      throw new UnsupportedModelError(
        `Cannot read tensor "${info.name}" of ${file.path} as its type must be one of ${
          GGUF_TENSOR_TYPES.join(", ")
        }: current value is ${storedType}`,
      );
    }
    const block = blockSize(storedType);
    const elements = shape.reduce((product, axis) => product * axis, 1);
    if (
      shape.length < 1 || shape.length > 4 || shape.some((axis) => axis < 1) ||
      !Number.isSafeInteger(elements * block.bytes)
    ) {
      fail(`its shape is [${shape}]`);
    }
    if (shape.at(-1)! % block.weights !== 0) {
      fail(
        `rows of ${storedType} must be multiples of ${block.weights}: current shape is [${shape}]`,
      );
    }
    const offset = dataStart + Number(info.offset);
    const byteLength = elements / block.weights * block.bytes;
    if (Number(info.offset) % alignment !== 0) {
      fail(
        `its offset must be a multiple of ${alignment}: current value is ${info.offset}`,
      );
    }
    if (offset + byteLength > file.size) {
      fail(
        `it ends at byte ${
          offset + byteLength
        }: the file is truncated and has ${file.size}`,
      );
    }
    return { name: info.name, shape, storedType, offset, byteLength };
  });
  const ordered = [...entries].sort((a, b) => a.offset - b.offset);
  for (const [index, entry] of ordered.entries()) {
    const before = ordered[index - 1];
    if (before && before.offset + before.byteLength > entry.offset) {
      throw new CheckpointError(
        `Cannot read ${file.path} as tensors "${before.name}" and "${entry.name}" overlap`,
      );
    }
  }
  return entries;
}

class GgufSource implements TensorSource {
  #file: RandomAccessFile;
  #entries: ReadonlyMap<string, GgufEntry>;

  constructor(file: RandomAccessFile, entries: readonly GgufEntry[]) {
    this.#file = file;
    this.#entries = new Map(entries.map((entry) => [entry.name, entry]));
  }

  list(): readonly TensorInfo[] {
    return [...this.#entries.values()];
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  // deno-lint-ignore require-await -- a failed read is a rejection, as the contract has it
  async read(name: string): Promise<Tensor> {
    const entry = this.#entries.get(name);
    if (entry === undefined || !isGgufTensorType(entry.storedType)) {
      throw new CheckpointError(
        `Cannot read tensor "${name}" as the checkpoint has none of that name`,
      );
    }
    const bytes = this.#file.read(entry.offset, entry.byteLength);
    const data = dequantize(bytes, entry.storedType);
    assertFinite(data, `tensor "${name}" of ${this.#file.path}`);
    return tensor(data, entry.shape);
  }

  close(): void {
    this.#file.close();
  }
}
