// Writes safetensors, one tensor in memory at a time. A file appears under its
// name only when it is complete; a sharded checkpoint's index is the last.

import { createHash } from "node:crypto";
import { basename } from "node:path";
import { DTYPE_BYTES, fromFloat32 } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Tensor } from "../base/tensor.ts";

/** Element types that are written. */
export type StoredDType = "f32" | "f16" | "bf16";

/** A tensor to write; it is read when its turn comes. */
export interface TensorToWrite {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: StoredDType;
  read(): Tensor | Promise<Tensor>;
}

/** A file that was written. */
export interface WrittenFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

function byteLengthOf(item: TensorToWrite): number {
  return item.shape.reduce((product, axis) => product * axis, 1) *
    DTYPE_BYTES[item.dtype];
}

/** Encodes a header, padded with spaces so that the data begins at a multiple of 8. */
function encodeHeader(
  items: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header: [string, unknown][] = [["__metadata__", metadata]];
  const names = new Set(["__metadata__", "__proto__"]);
  let offset = 0;
  for (const item of items) {
    if (names.has(item.name)) {
      throw new RangeError(
        `Cannot write tensor "${item.name}" as the name is reserved or there twice`,
      );
    }
    names.add(item.name);
    const end = offset + byteLengthOf(item);
    header.push([item.name, {
      dtype: item.dtype.toUpperCase(),
      shape: item.shape,
      data_offsets: [offset, end],
    }]);
    offset = end;
  }
  const json = new TextEncoder().encode(
    JSON.stringify(Object.fromEntries(header)),
  );
  const length = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, 8);
  return bytes;
}

/** Reads a tensor and rounds it to its stored type. */
async function encodeTensor(item: TensorToWrite): Promise<Uint8Array> {
  const { shape, data } = await item.read();
  if (shape.join() !== item.shape.join()) {
    throw new ShapeError(
      `Cannot write tensor "${item.name}" as its shape must be [${item.shape}]: current value is [${shape}]`,
    );
  }
  // 65520 is the least magnitude that rounds to infinity in f16.
  const limit = item.dtype === "f16" ? 65520 : Infinity;
  const bad = data.findIndex((value) => !(Math.abs(value) < limit));
  if (bad !== -1) {
    throw new RangeError(
      `Cannot write tensor "${item.name}" as ${item.dtype} must hold every weight: element ${bad} is ${
        data[bad]
      }`,
    );
  }
  return fromFloat32(data, item.dtype);
}

/** Writes to a hidden file beside `path`; the caller renames it. */
async function writeTemporary(
  path: string,
  items: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
): Promise<{ temporary: string; bytes: number; sha256: string }> {
  const header = encodeHeader(items, metadata);
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.partial`;
  const hash = createHash("sha256");
  let bytes = 0;
  const file = await Deno.open(temporary, { write: true, createNew: true });
  try {
    const append = async (chunk: Uint8Array) => {
      hash.update(chunk);
      bytes += chunk.length;
      for (let done = 0; done < chunk.length;) {
        done += await file.write(chunk.subarray(done));
      }
    };
    await append(header);
    for (const item of items) await append(await encodeTensor(item));
    await file.sync();
    file.close();
  } catch (error) {
    file.close();
    await Deno.remove(temporary);
    throw error;
  }
  return { temporary, bytes, sha256: hash.digest("hex") };
}

/**
 * Writes one safetensors file.
 *
 * @param path The file; it is replaced when the new one is complete.
 * @param items Tensors in the order of their data.
 * @param metadata The header's `__metadata__`; transformers expects `format`.
 * @returns What was written.
 * @throws {RangeError} If a weight is not finite in its stored type, or a name is there twice.
 * @throws {ShapeError} If a tensor has another shape than announced.
 */
export async function writeSafetensors(
  path: string,
  items: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): Promise<WrittenFile> {
  const { temporary, bytes, sha256 } = await writeTemporary(
    path,
    items,
    metadata,
  );
  await Deno.rename(temporary, path);
  return { name: basename(path), bytes, sha256 };
}

/**
 * Writes a checkpoint's weights: model.safetensors, or shards of at most
 * `maxShardBytes` with model.safetensors.index.json.
 *
 * @param folder The folder, which exists.
 * @param items Tensors in the order of their data.
 * @param options `maxShardBytes` of tensor data (a larger tensor has a shard of its own), and the header's metadata.
 * @returns The weight files in name order.
 */
export async function writeCheckpointWeights(
  folder: string,
  items: readonly TensorToWrite[],
  options: {
    maxShardBytes?: number;
    metadata?: Readonly<Record<string, string>>;
  } = {},
): Promise<readonly WrittenFile[]> {
  const { maxShardBytes = 5e9, metadata = { format: "pt" } } = options;
  const shards: TensorToWrite[][] = [[]];
  let filled = 0;
  for (const item of items) {
    const bytes = byteLengthOf(item);
    if (filled > 0 && filled + bytes > maxShardBytes) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(item);
    filled += bytes;
  }
  if (shards.length === 1) {
    return [
      await writeSafetensors(`${folder}/model.safetensors`, items, metadata),
    ];
  }
  const digits = (n: number) => String(n).padStart(5, "0");
  const weightMap: [string, string][] = [];
  const finished: { temporary: string; file: WrittenFile }[] = [];
  try {
    for (const [index, shard] of shards.entries()) {
      const name = `model-${digits(index + 1)}-of-${
        digits(shards.length)
      }.safetensors`;
      const { temporary, bytes, sha256 } = await writeTemporary(
        `${folder}/${name}`,
        shard,
        metadata,
      );
      finished.push({ temporary, file: { name, bytes, sha256 } });
      for (const item of shard) weightMap.push([item.name, name]);
    }
  } catch (error) {
    for (const { temporary } of finished) await Deno.remove(temporary);
    throw error;
  }
  for (const { temporary, file } of finished) {
    await Deno.rename(temporary, `${folder}/${file.name}`);
  }
  const totalSize = items.reduce((sum, item) => sum + byteLengthOf(item), 0);
  const index = `${folder}/model.safetensors.index.json`;
  await Deno.writeTextFile(
    `${index}.partial`,
    JSON.stringify(
      {
        metadata: { total_size: totalSize },
        weight_map: Object.fromEntries(weightMap),
      },
      null,
      2,
    ) + "\n",
  );
  await Deno.rename(`${index}.partial`, index);
  return finished.map(({ file }) => file);
}
