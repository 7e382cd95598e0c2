// Outputs of a kernel, sampled where they are large, and compared.

import type { Gpu } from "../device/gpu.ts";
import { ELEMENT_BYTES, type View } from "../kernels/kernel.ts";

/** Outputs up to this size are read whole; of larger ones as much in pieces. */
const WHOLE_BYTES = 2 ** 21;
const PIECES = 32;

/** Sums in another order, or rounded to f16 on the way: in units of the root mean square. */
const TOLERANCE = 0.01;

/**
 * Reads outputs, or evenly spread pieces of them.
 *
 * @param gpu The device.
 * @param outputs From the start of their buffers to the end.
 * @returns Numbers of each.
 */
export async function sampleOutputs(
  gpu: Gpu,
  outputs: readonly View[],
): Promise<Float64Array[]> {
  const samples: Float64Array[] = [];
  for (const { buffer, element } of outputs) {
    const { size } = buffer;
    const pieces = size <= WHOLE_BYTES ? 1 : PIECES;
    const bytes = pieces === 1 ? size : WHOLE_BYTES / PIECES;
    const last = Math.floor((size - bytes) / 4) * 4;
    const numbers: number[] = [];
    for (let i = 0; i < pieces; i++) {
      const at = pieces === 1 ? 0 : Math.floor(last * i / (pieces - 1) / 4) * 4;
      const read = await gpu.read(buffer, at, bytes);
      const length = Math.floor(bytes / ELEMENT_BYTES[element]);
      const values = element === "f16"
        ? new Float16Array(read, 0, length)
        : new Float32Array(read, 0, length);
      for (const value of values) numbers.push(value);
    }
    samples.push(Float64Array.from(numbers));
  }
  return samples;
}

/**
 * Compares outputs.
 *
 * @param found Of a candidate.
 * @param expected Of the default.
 * @returns The worst difference in words; undefined where all are within what rounding explains.
 */
export function differenceOf(
  found: readonly Float64Array[],
  expected: readonly Float64Array[],
): string | undefined {
  for (const [i, right] of expected.entries()) {
    const scale = Math.sqrt(
      right.reduce((sum, value) => sum + value * value, 0) / right.length,
    );
    if (!(scale > 0 && Number.isFinite(scale))) {
      return `the default gives nothing to compare with: root mean square ${scale}`;
    }
    let worst = 0;
    let at = -1;
    for (const [k, value] of right.entries()) {
      const error = Math.abs(found[i]![k]! - value);
      if (error <= worst) continue;
      // NaN is worse than anything.
      worst = Number.isNaN(error) ? Infinity : error;
      at = k;
      if (worst === Infinity) break;
    }
    if (worst > TOLERANCE * scale) {
      return `output ${i} is wrong: number ${at} of the sample is ${
        found[i]![at]
      }, expected ${right[at]}`;
    }
  }
  return undefined;
}
