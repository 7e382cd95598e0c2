// Widens the blocks of GGUF's tensor types to f32. Every weight is the exact value
// of its block's formula rounded once, so a result does not depend on the order
// of operations. Layouts: ggml's block structs (github.com/ggml-org/ggml,
// src/ggml-common.h) and their dequantize_row functions (src/ggml-quants.c).

import { toFloat32 } from "../base/dtype.ts";

/** Writes one block's weights to y[out...]. */
type BlockReader = (
  bytes: Uint8Array,
  view: DataView,
  at: number,
  y: Float32Array,
  out: number,
) => void;

interface BlockType {
  /** Weights in a block. */
  readonly weights: number;
  readonly bytes: number;
  readonly read?: BlockReader;
}

const SMALL = 32;
const SUPER = 256;

const BLOCK_TYPES = {
  F32: { weights: 1, bytes: 4 },
  F16: { weights: 1, bytes: 2 },
  BF16: { weights: 1, bytes: 2 },
  Q4_0: { weights: SMALL, bytes: 18, read: readQ4_0 },
  Q4_1: { weights: SMALL, bytes: 20, read: readQ4_1 },
  Q5_0: { weights: SMALL, bytes: 22, read: readQ5_0 },
  Q5_1: { weights: SMALL, bytes: 24, read: readQ5_1 },
  Q8_0: { weights: SMALL, bytes: 34, read: readQ8_0 },
  Q4_K: { weights: SUPER, bytes: 144, read: readQ4K },
  Q5_K: { weights: SUPER, bytes: 176, read: readQ5K },
  Q6_K: { weights: SUPER, bytes: 210, read: readQ6K },
} as const satisfies Readonly<Record<string, BlockType>>;

/** A tensor type that dequantize() reads. */
export type GgufTensorType = keyof typeof BLOCK_TYPES;

/** All of them. */
export const GGUF_TENSOR_TYPES = Object.keys(
  BLOCK_TYPES,
) as readonly GgufTensorType[];

/** Whether dequantize() reads a type of that name. */
export function isGgufTensorType(name: string): name is GgufTensorType {
  return Object.hasOwn(BLOCK_TYPES, name);
}

/** Weights and bytes of one block of a type. */
export function blockSize(
  type: GgufTensorType,
): { readonly weights: number; readonly bytes: number } {
  return BLOCK_TYPES[type];
}

/**
 * Widens whole blocks to f32.
 *
 * @param bytes Consecutive blocks.
 * @param type Their type.
 * @returns Their weights in order.
 * @throws {RangeError} If the bytes are not whole blocks.
 */
export function dequantize(
  bytes: Uint8Array,
  type: GgufTensorType,
): Float32Array {
  switch (type) {
    case "F32":
      return toFloat32(bytes, "f32");
    case "F16":
      return toFloat32(bytes, "f16");
    case "BF16":
      return toFloat32(bytes, "bf16");
  }
  const { weights, bytes: size, read } = BLOCK_TYPES[type];
  if (bytes.length % size !== 0) {
    throw new RangeError(
      `Cannot dequantize ${type} as the byte length must be a multiple of ${size}: current value is ${bytes.length}`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const y = new Float32Array(bytes.length / size * weights);
  for (let at = 0, out = 0; at < bytes.length; at += size, out += weights) {
    read(bytes, view, at, y, out);
  }
  return y;
}

// { f16 d; u8 q[16] }: low nibbles are weights 0-15, high nibbles 16-31.
function readQ4_0(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  y: Float32Array,
  out: number,
): void {
  const d = view.getFloat16(at, true);
  for (let j = 0; j < 16; j++) {
    const q = bytes[at + 2 + j]!;
    y[out + j] = d * ((q & 15) - 8);
    y[out + 16 + j] = d * ((q >> 4) - 8);
  }
}

// { f16 d; f16 min; u8 q[16] }
function readQ4_1(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  y: Float32Array,
  out: number,
): void {
  const d = view.getFloat16(at, true);
  const min = view.getFloat16(at + 2, true);
  for (let j = 0; j < 16; j++) {
    const q = bytes[at + 4 + j]!;
    y[out + j] = d * (q & 15) + min;
    y[out + 16 + j] = d * (q >> 4) + min;
  }
}

// { f16 d; u32 high; u8 q[16] }: bit j of `high` is the fifth bit of weight j.
function readQ5_0(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  y: Float32Array,
  out: number,
): void {
  const d = view.getFloat16(at, true);
  const high = view.getUint32(at + 2, true);
  for (let j = 0; j < 16; j++) {
    const q = bytes[at + 6 + j]!;
    y[out + j] = d * ((q & 15 | (high >>> j & 1) << 4) - 16);
    y[out + 16 + j] = d * ((q >> 4 | (high >>> j + 16 & 1) << 4) - 16);
  }
}

// { f16 d; f16 min; u32 high; u8 q[16] }
function readQ5_1(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  y: Float32Array,
  out: number,
): void {
  const d = view.getFloat16(at, true);
  const min = view.getFloat16(at + 2, true);
  const high = view.getUint32(at + 4, true);
  for (let j = 0; j < 16; j++) {
    const q = bytes[at + 8 + j]!;
    y[out + j] = d * (q & 15 | (high >>> j & 1) << 4) + min;
    y[out + 16 + j] = d * (q >> 4 | (high >>> j + 16 & 1) << 4) + min;
  }
}

// { f16 d; i8 q[32] }
function readQ8_0(
  _bytes: Uint8Array,
  view: DataView,
  at: number,
  y: Float32Array,
  out: number,
): void {
  const d = view.getFloat16(at, true);
  for (let j = 0; j < 32; j++) y[out + j] = d * view.getInt8(at + 2 + j);
}

/** Scale (or, with `first` = 4, minimum) of sub-block j: 6 bits each, 16 numbers in 12 bytes. */
function sixBits(bytes: Uint8Array, at: number, j: number, first: 0 | 4) {
  if (j < 4) return bytes[at + j + first]! & 63;
  const low = first === 0 ? bytes[at + j + 4]! & 15 : bytes[at + j + 4]! >> 4;
  return low | bytes[at + j - 4 + first]! >> 6 << 4;
}

// { f16 d; f16 dmin; u8 scales[12]; u8 q[128] }: 8 sub-blocks of 32 weights, two
// of which share 32 bytes as low and high nibbles.
function readQ4K(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  y: Float32Array,
  out: number,
): void {
  const d = view.getFloat16(at, true);
  const dmin = view.getFloat16(at + 2, true);
  for (let block = 0; block < 8; block++) {
    const scale = d * sixBits(bytes, at + 4, block, 0);
    const min = dmin * sixBits(bytes, at + 4, block, 4);
    const q = at + 16 + (block >> 1) * 32;
    const shift = (block & 1) * 4;
    for (let l = 0; l < 32; l++) {
      y[out + block * 32 + l] = scale * (bytes[q + l]! >> shift & 15) - min;
    }
  }
}

// { f16 d; f16 dmin; u8 scales[12]; u8 high[32]; u8 q[128] }: bit b of high[l] is
// the fifth bit of weight l of sub-block b.
function readQ5K(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  y: Float32Array,
  out: number,
): void {
  const d = view.getFloat16(at, true);
  const dmin = view.getFloat16(at + 2, true);
  for (let block = 0; block < 8; block++) {
    const scale = d * sixBits(bytes, at + 4, block, 0);
    const min = dmin * sixBits(bytes, at + 4, block, 4);
    const q = at + 48 + (block >> 1) * 32;
    const shift = (block & 1) * 4;
    for (let l = 0; l < 32; l++) {
      const high = bytes[at + 16 + l]! >> block & 1;
      y[out + block * 32 + l] =
        scale * (bytes[q + l]! >> shift & 15 | high << 4) - min;
    }
  }
}

// { u8 low[128]; u8 high[64]; i8 scales[16]; f16 d }: two halves of 128 weights, in
// each four runs of 32; run k takes nibble k/2 of low[32 (k mod 2) + l] and bit
// pair k of high[l]; 16 weights share a scale.
function readQ6K(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  y: Float32Array,
  out: number,
): void {
  const d = view.getFloat16(at + 208, true);
  for (let half = 0; half < 2; half++) {
    for (let run = 0; run < 4; run++) {
      const low = at + half * 64 + (run & 1) * 32;
      const high = at + 128 + half * 32;
      const shift = (run >> 1) * 4;
      const start = half * 128 + run * 32;
      for (let l = 0; l < 32; l++) {
        const q = bytes[low + l]! >> shift & 15 |
          (bytes[high + l]! >> 2 * run & 3) << 4;
        const scale = view.getInt8(at + 192 + (start + l >> 4));
        y[out + start + l] = d * scale * (q - 32);
      }
    }
  }
}
