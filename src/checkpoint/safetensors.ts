// Reads safetensors: one file, or shards with a model.safetensors.index.json.
// Format: u64 header length, JSON header, data; every byte of the data belongs to
// exactly one tensor (github.com/huggingface/safetensors, "Format").
// A file is hostile until its header is checked: nothing is allocated from a
// number that the file's own size does not bear out.

import { basename, dirname, join } from "node:path";
import { DTYPE_BYTES, toFloat32 } from "../base/dtype.ts";
import type { DType } from "../base/dtype.ts";
import { CheckpointError, UnsupportedModelError } from "../base/errors.ts";
import { excerpt } from "../base/excerpt.ts";
import { type Tensor, tensor } from "../base/tensor.ts";
import { assertFinite } from "./finite.ts";
import { RandomAccessFile } from "./random_access_file.ts";
import {
  decodeUtf8,
  isJsonObject,
  parseJsonObject,
  readJsonObject,
} from "./strict_json.ts";
import type { TensorInfo, TensorSource } from "./tensor_source.ts";

/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;

/** Weights of language models have two; convolutions over video five. */
const MAX_AXES = 8;

const STORED_DTYPES: Readonly<Record<string, DType>> = {
  F32: "f32",
  F16: "f16",
  BF16: "bf16",
};

/** Bytes of the types that the format knows and this suite refuses. */
const OTHER_TYPE_BITS: Readonly<Record<string, number>> = {
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  I32: 32,
  U32: 32,
  F64: 64,
  I64: 64,
  U64: 64,
};

/** One tensor of a header, checked. */
export interface SafetensorsEntry extends TensorInfo {
  /** From the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/**
 * Reads and checks the header of a safetensors file.
 *
 * @param file The opened file.
 * @returns Its tensors in the order of their data.
 * @throws {CheckpointError} If the header contradicts itself or the file.
 */
export function readSafetensorsHeader(
  file: RandomAccessFile,
): readonly SafetensorsEntry[] {
  const what = `the header of ${file.path}`;
  const length = file.size < 8
    ? -1n
    : new DataView(file.read(0, 8).buffer).getBigUint64(0, true);
  if (length < 2n || length > MAX_HEADER_BYTES || length > file.size - 8) {
    throw new CheckpointError(
      `Cannot read ${what} as its length must be from 2 to the file's ${file.size} bytes: current value is ${length}`,
    );
  }
  const dataStart = 8 + Number(length);
  const bytes = file.read(8, Number(length));
  if (bytes[0] !== 0x7b) {
    throw new CheckpointError(`Cannot read ${what} as it must begin with {`);
  }
  const header = parseJsonObject(decodeUtf8(bytes, what), what);
  const entries: SafetensorsEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") {
      checkMetadata(value, what);
      continue;
    }
    entries.push(checkEntry(name, value, dataStart, file));
  }
  entries.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = dataStart;
  for (const entry of entries) {
    if (entry.offset !== end) {
      throw new CheckpointError(
        `Cannot read ${file.path} as tensor data must neither overlap nor leave holes: ${
          excerpt(entry.name)
        } begins at byte ${entry.offset}, the one before ends at ${end}`,
      );
    }
    end += entry.byteLength;
  }
  if (end !== file.size) {
    throw new CheckpointError(
      `Cannot read ${file.path} as its tensors end at byte ${end}: the file has ${file.size}`,
    );
  }
  return entries;
}

function checkMetadata(value: unknown, what: string): void {
  if (
    isJsonObject(value) &&
    Object.values(value).every((text) => typeof text === "string")
  ) return;
  throw new CheckpointError(
    `Cannot read ${what} as __metadata__ must be an object of strings: current value is ${
      excerpt(value)
    }`,
  );
}

function checkEntry(
  name: string,
  value: unknown,
  dataStart: number,
  file: RandomAccessFile,
): SafetensorsEntry {
  const fail = (reason: string): never => {
    throw new CheckpointError(
      `Cannot read tensor ${excerpt(name)} of ${file.path} as ${reason}`,
    );
  };
  if (!isJsonObject(value)) return fail("its header entry is not an object");
  const { dtype, shape, data_offsets: offsets } = value;
  const bits = typeof dtype !== "string"
    ? undefined
    : Object.hasOwn(STORED_DTYPES, dtype)
    ? 8 * DTYPE_BYTES[STORED_DTYPES[dtype]!]
    : Object.hasOwn(OTHER_TYPE_BITS, dtype)
    ? OTHER_TYPE_BITS[dtype]
    : undefined;
  if (bits === undefined) {
    return fail(
      `its dtype is unknown: ${excerpt(dtype)}; allowed: ${
        Object.keys(STORED_DTYPES).join(", ")
      }`,
    );
  }
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    return fail(`its shape is not a list of sizes: ${excerpt(shape)}`);
  }
  if (shape.length > MAX_AXES) {
    return fail(
      `it must have at most ${MAX_AXES} axes: current number is ${shape.length}`,
    );
  }
  if (
    !Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)
  ) {
    return fail(
      `its data_offsets are not two byte numbers: ${excerpt(offsets)}`,
    );
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end || end > file.size - dataStart) {
    return fail(
      `its data_offsets [${begin}, ${end}] are outside the file's ${
        file.size - dataStart
      } bytes of data`,
    );
  }
  // The product is checked at each axis: above 2^53 it would no longer be exact.
  let elements = 1;
  for (const axis of shape as number[]) {
    elements *= axis;
    if (!Number.isSafeInteger(elements * bits)) {
      return fail(`its shape ${excerpt(shape)} has too many elements`);
    }
  }
  if (elements * bits !== (end - begin) * 8) {
    return fail(
      `shape ${excerpt(shape)} of ${dtype} takes ${
        elements * bits / 8
      } bytes: ${end - begin} are stored`,
    );
  }
  return {
    name,
    shape: shape as number[],
    storedType: dtype as string,
    offset: dataStart + begin,
    byteLength: end - begin,
  };
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

class SafetensorsSource implements TensorSource {
  #entries: ReadonlyMap<string, [RandomAccessFile, SafetensorsEntry]>;
  #files: readonly RandomAccessFile[];

  constructor(
    entries: ReadonlyMap<string, [RandomAccessFile, SafetensorsEntry]>,
    files: readonly RandomAccessFile[],
  ) {
    this.#entries = entries;
    this.#files = files;
  }

  list(): readonly TensorInfo[] {
    return [...this.#entries.values()].map(([, entry]) => entry);
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  // deno-lint-ignore require-await -- a failed read is a rejection, as the contract has it
  async read(name: string): Promise<Tensor> {
    const found = this.#entries.get(name);
    if (found === undefined) {
      throw new CheckpointError(
        `Cannot read tensor ${
          excerpt(name)
        } as the checkpoint has none of that name`,
      );
    }
    const [file, entry] = found;
    const dtype = STORED_DTYPES[entry.storedType];
    if (dtype === undefined) {
      throw new UnsupportedModelError(
        `Cannot read tensor ${
          excerpt(name)
        } of ${file.path} as its stored type must be one of ${
          Object.keys(STORED_DTYPES).join(", ")
        }: current value is ${entry.storedType}`,
      );
    }
    const data = toFloat32(file.read(entry.offset, entry.byteLength), dtype);
    assertFinite(data, `tensor ${excerpt(name)} of ${file.path}`);
    return tensor(data, entry.shape);
  }

  close(): void {
    for (const file of this.#files) file.close();
  }
}

/**
 * Opens one safetensors file.
 *
 * @param path The file.
 * @returns Its tensors.
 * @throws {CheckpointError} If its header is broken.
 */
export async function openSafetensors(path: string): Promise<TensorSource> {
  return await openShards([path]);
}

/**
 * Opens sharded safetensors by their index.
 *
 * @param folder The folder with index and shards.
 * @param indexName The index file's name in it.
 * @returns The tensors of all shards, and the shards' names in name order.
 * @throws {CheckpointError} If index and shards contradict each other, or a shard is outside the folder.
 */
export async function openSafetensorsIndex(
  folder: string,
  indexName = "model.safetensors.index.json",
): Promise<{ tensors: TensorSource; shards: readonly string[] }> {
  const path = `${folder}/${indexName}`;
  const map = (await readJsonObject(path))["weight_map"];
  if (!isJsonObject(map) || Object.keys(map).length === 0) {
    throw new CheckpointError(
      `Cannot read ${path} as weight_map must be an object that names tensors: current value is ${
        excerpt(map)
      }`,
    );
  }
  for (const shard of Object.values(map)) {
    if (typeof shard !== "string" || !isShardName(shard)) {
      throw new CheckpointError(
        `Cannot read ${path} as a shard must be a .safetensors file in the same folder: current value is ${
          excerpt(shard)
        }`,
      );
    }
  }
  const weightMap = new Map(Object.entries(map) as [string, string][]);
  const shards = [...new Set(weightMap.values())].sort();
  for (const shard of shards) await refuseOutsideLink(folder, shard, path);
  const tensors = await openShards(
    shards.map((shard) => `${folder}/${shard}`),
    weightMap,
  );
  return { tensors, shards };
}

/** A plain file name: no folder, no drive, no parent. */
export function isShardName(name: string): boolean {
  return /^[\w][\w.-]*\.safetensors$/.test(name);
}

/**
 * Refuses a shard that is missing or, by a symbolic link, somewhere else. Hugging
 * Face's cache links snapshots/COMMIT/x to blobs/HASH, in the same repository.
 */
async function refuseOutsideLink(
  folder: string,
  shard: string,
  index: string,
): Promise<void> {
  const home = await Deno.realPath(folder);
  const blobs = join(home, "..", "..", "blobs");
  let target: string;
  try {
    target = await Deno.realPath(join(folder, shard));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new CheckpointError(
      `Cannot read ${index} as it names ${shard}, which is not in the folder`,
    );
  }
  const inside = dirname(target) === home ||
    (basename(dirname(home)) === "snapshots" && dirname(target) === blobs);
  if (!inside) {
    throw new CheckpointError(
      `Cannot read ${index} as a shard must be in the same folder: ${shard} links to ${target}`,
    );
  }
}

/** Opens files; with a weight map, each tensor comes from the shard that the map names. */
async function openShards(
  paths: readonly string[],
  weightMap?: ReadonlyMap<string, string>,
): Promise<TensorSource> {
  const entries = new Map<string, [RandomAccessFile, SafetensorsEntry]>();
  const files: RandomAccessFile[] = [];
  try {
    for (const path of paths) {
      const file = await RandomAccessFile.open(path);
      files.push(file);
      for (const entry of readSafetensorsHeader(file)) {
        const shard = weightMap?.get(entry.name);
        if (weightMap && !path.endsWith(`/${shard}`)) {
          throw new CheckpointError(
            `Cannot read ${path} as it has a tensor ${
              excerpt(entry.name)
            } that the index ${
              shard === undefined ? "does not list" : `places in ${shard}`
            }`,
          );
        }
        entries.set(entry.name, [file, entry]);
      }
    }
    for (const [name, shard] of weightMap ?? []) {
      if (!entries.has(name)) {
        throw new CheckpointError(
          `Cannot read tensor ${
            excerpt(name)
          } as the index places it in ${shard}, which does not have it`,
        );
      }
    }
  } catch (error) {
    for (const file of files) file.close();
    throw error;
  }
  return new SafetensorsSource(entries, files);
}
