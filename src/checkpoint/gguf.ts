// Reads GGUF versions 2 and 3, little-endian: every tensor's type, shape and range
// is checked against the file before one is read.

import { GGMLQuantizationType } from "@huggingface/gguf";
import { CheckpointError, UnsupportedModelError } from "../base/errors.ts";
import { excerpt } from "../base/excerpt.ts";
import { type Tensor, tensor } from "../base/tensor.ts";
import { assertFinite } from "./finite.ts";
import {
  blockSize,
  dequantize,
  GGUF_TENSOR_TYPES,
  isGgufTensorType,
} from "./gguf_dequantize.ts";
import {
  type GgufMetadata,
  type GgufTensorEntry,
  readGgufHeader,
} from "./gguf_header.ts";
import { RandomAccessFile } from "./random_access_file.ts";
import type { TensorInfo, TensorSource } from "./tensor_source.ts";

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
    const { metadata, tensors: listed, byteLength } = readGgufHeader(file);
    if (metadata.has("split.count") && metadata.get("split.count") !== 1) {
      throw new UnsupportedModelError(
        `Cannot read ${path} as it is one part of a split GGUF: join the parts first (llama-gguf-split --merge)`,
      );
    }
    const tensors = checkTensors(
      file,
      listed,
      byteLength,
      metadata.get("general.alignment") ?? 32,
    );
    return { path, metadata, tensors: new GgufSource(file, tensors) };
  } catch (error) {
    file.close();
    throw error;
  }
}

function checkTensors(
  file: RandomAccessFile,
  listed: readonly GgufTensorEntry[],
  headerBytes: number,
  alignment: unknown,
): readonly GgufEntry[] {
  if (
    typeof alignment !== "number" || alignment < 1 || alignment > 65536 ||
    (alignment & (alignment - 1)) !== 0
  ) {
    throw new CheckpointError(
      `Cannot read ${file.path} as general.alignment must be a power of 2 up to 65536: current value is ${
        excerpt(alignment)
      }`,
    );
  }
  const dataStart = Math.ceil(headerBytes / alignment) * alignment;
  const names = new Set<string>();
  const entries = listed.map((info) => {
    const fail = (reason: string): never => {
      throw new CheckpointError(
        `Cannot read tensor ${excerpt(info.name)} of ${file.path} as ${reason}`,
      );
    };
    if (names.has(info.name)) fail("the name is there twice");
    names.add(info.name);
    const type = GGMLQuantizationType[info.type];
    if (type === undefined) {
      return fail(`its type is unknown: current value is ${info.type}`);
    }
    const { shape } = info;
    const storedType: string = type;
    if (!isGgufTensorType(storedType)) {
      throw new UnsupportedModelError(
        `Cannot read tensor ${
          excerpt(info.name)
        } of ${file.path} as its type must be one of ${
          GGUF_TENSOR_TYPES.join(", ")
        }: current value is ${storedType}`,
      );
    }
    const block = blockSize(storedType);
    const elements = shape.reduce((product, axis) => product * axis, 1);
    if (
      shape.some((axis) => axis < 1) ||
      !Number.isSafeInteger(elements * block.bytes)
    ) {
      fail(
        `its axes must be >= 1, their product below 2^53: current shape is [${shape}]`,
      );
    }
    if (shape.at(-1)! % block.weights !== 0) {
      fail(
        `rows of ${storedType} must be multiples of ${block.weights}: current shape is [${shape}]`,
      );
    }
    const offset = dataStart + info.offset;
    const byteLength = elements / block.weights * block.bytes;
    if (info.offset % alignment !== 0) {
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
        `Cannot read ${file.path} as tensors ${excerpt(before.name)} and ${
          excerpt(entry.name)
        } overlap`,
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
        `Cannot read tensor ${
          excerpt(name)
        } of ${this.#file.path} as the checkpoint has none of that name`,
      );
    }
    const bytes = this.#file.read(entry.offset, entry.byteLength);
    const data = dequantize(bytes, entry.storedType);
    assertFinite(data, `tensor ${excerpt(name)} of ${this.#file.path}`);
    return tensor(data, entry.shape);
  }

  close(): void {
    this.#file.close();
  }
}
