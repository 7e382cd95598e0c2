// One layer's moments as a file: magic, header length (u32), header (JSON,
// padded with spaces to a multiple of 8 bytes), Gram matrix (f64), reservoir
// (f32), little-endian. The header carries the sha256 of its sizes and of what follows it.

import { createHash } from "node:crypto";
import { CheckpointError } from "../base/errors.ts";
import type { LayerMoments } from "../model/moments.ts";

const MAGIC = "TMLAMOM1";
const HEADER_LIMIT = 4096;

interface Sizes {
  readonly hiddenSize: number;
  readonly tokens: number;
  readonly reservoirRows: number;
}

interface Header extends Sizes {
  readonly sha256: string;
}

/**
 * Writes one layer's moments, complete or not at all.
 *
 * @param path The file; a temporary one is made beside it and renamed.
 * @param moments What to write.
 */
export async function writeMomentsFile(
  path: string,
  moments: LayerMoments,
): Promise<void> {
  const gram = bytesOf(moments.gram.data);
  const rows = bytesOf(moments.reservoir.data);
  const sizes: Sizes = {
    hiddenSize: moments.gram.rows - 1,
    tokens: moments.tokens,
    reservoirRows: moments.reservoir.rows,
  };
  const json = JSON.stringify({ ...sizes, sha256: digest(sizes, gram, rows) });
  // 8 bytes of magic and 4 of length come before; the Gram matrix is aligned to 8.
  const padded = json.padEnd(Math.ceil((json.length + 12) / 8) * 8 - 12);
  const start = new Uint8Array(12);
  start.set(new TextEncoder().encode(MAGIC));
  new DataView(start.buffer).setUint32(8, padded.length, true);
  await writeAtomically(path, [
    start,
    new TextEncoder().encode(padded),
    gram,
    rows,
  ]);
}

/**
 * Reads one layer's moments and checks that they are what was written.
 *
 * @param path The file.
 * @param hiddenSize D that it must have.
 * @param options `verified`: this process has found the same file whole, and need not hash it again.
 * @returns The moments.
 * @throws {CheckpointError} If the file is truncated, damaged or of another size.
 */
export async function readMomentsFile(
  path: string,
  hiddenSize: number,
  { verified = false }: { readonly verified?: boolean } = {},
): Promise<LayerMoments> {
  const refuse = (reason: string) =>
    new CheckpointError(`Cannot read moments ${path} as ${reason}`);
  const bytes = await Deno.readFile(path);
  const magic = new TextDecoder().decode(bytes.subarray(0, MAGIC.length));
  if (bytes.length < 12 || magic !== MAGIC) {
    throw refuse(`it must start with ${MAGIC}`);
  }
  const length = new DataView(bytes.buffer).getUint32(8, true);
  const from = 12 + length;
  if (length > HEADER_LIMIT || from % 8 !== 0 || from > bytes.length) {
    throw refuse(`its header length is impossible: ${length}`);
  }
  const header = parseHeader(bytes.subarray(12, from));
  if (header === undefined) throw refuse("its header is damaged");
  if (header.hiddenSize !== hiddenSize) {
    throw refuse(
      `hiddenSize must be ${hiddenSize}: current value is ${header.hiddenSize}`,
    );
  }
  const size = hiddenSize + 1;
  const rowsFrom = from + size * size * 8;
  const expected = rowsFrom + header.reservoirRows * hiddenSize * 4;
  if (bytes.length !== expected) {
    throw refuse(
      `it must have ${expected} bytes: current value is ${bytes.length}`,
    );
  }
  const hash = verified ? header.sha256 : digest(header, bytes.subarray(from));
  if (hash !== header.sha256) {
    throw refuse(
      `its content must have sha256 ${header.sha256}: found ${hash}`,
    );
  }
  return {
    gram: {
      rows: size,
      columns: size,
      data: new Float64Array(bytes.buffer, from, size * size),
    },
    tokens: header.tokens,
    reservoir: {
      rows: header.reservoirRows,
      data: new Float32Array(
        bytes.buffer,
        rowsFrom,
        header.reservoirRows * hiddenSize,
      ),
    },
  };
}

/**
 * Writes a file beside its place and renames it into it.
 *
 * @param path The file.
 * @param parts Its bytes, in order.
 */
export async function writeAtomically(
  path: string,
  parts: readonly Uint8Array[],
): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    const file = await Deno.open(temporary, { write: true, createNew: true });
    try {
      for (const part of parts) {
        for (let done = 0; done < part.length;) {
          done += await file.write(part.subarray(done));
        }
      }
    } finally {
      file.close();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

function digest(sizes: Sizes, ...parts: readonly Uint8Array[]): string {
  const { hiddenSize, tokens, reservoirRows } = sizes;
  const hash = createHash("sha256");
  hash.update(`${hiddenSize} ${tokens} ${reservoirRows}\n`);
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

function bytesOf(values: Float64Array | Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function parseHeader(bytes: Uint8Array): Header | undefined {
  try {
    const { hiddenSize, tokens, reservoirRows, sha256 } = JSON.parse(
      new TextDecoder("utf-8", { fatal: true }).decode(bytes),
    );
    const counts = [hiddenSize, tokens, reservoirRows];
    return counts.every((n) => Number.isSafeInteger(n) && n >= 0) &&
        typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256)
      ? { hiddenSize, tokens, reservoirRows, sha256 }
      : undefined;
  } catch {
    return undefined;
  }
}
