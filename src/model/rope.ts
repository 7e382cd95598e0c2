// Rotary position embedding: frequencies of a configuration and the rotation of
// one vector in the two layouts in use. Position t turns pair n by t·frequencies[n].

import type { ModelConfig } from "./config.ts";
import type { Rotary } from "./decoder.ts";

/**
 * Frequencies of a model's rotary pairs: ropeTheta^(-2n/d), with llama3's scaling where the configuration asks for it.
 *
 * llama3 (Hugging Face, modeling_rope_utils.py): pairs that turn fewer than
 * lowFreqFactor times within the original context are slowed by `factor`, pairs
 * that turn more than highFreqFactor times stay, those between are interpolated
 * linearly in the number of turns.
 *
 * @param config The model's configuration.
 * @returns Radians a token of each pair, [d/2].
 * @throws {RangeError} If headDim is odd or not positive.
 */
export function ropeFrequencies(config: ModelConfig): Float64Array {
  const { headDim, ropeTheta, ropeScaling } = config;
  if (!Number.isInteger(headDim) || headDim < 2 || headDim % 2 !== 0) {
    throw new RangeError(
      `Cannot compute rotary frequencies as headDim must be a positive even number: current value is ${headDim}`,
    );
  }
  const frequencies = new Float64Array(headDim / 2);
  for (let n = 0; n < frequencies.length; n++) {
    frequencies[n] = ropeTheta ** (-2 * n / headDim);
  }
  if (ropeScaling === undefined) return frequencies;
  const { factor, lowFreqFactor, highFreqFactor } = ropeScaling;
  for (let n = 0; n < frequencies.length; n++) {
    const frequency = frequencies[n]!;
    const turns = ropeScaling.originalMaxPositionEmbeddings * frequency /
      (2 * Math.PI);
    if (turns > highFreqFactor) continue;
    const kept = turns < lowFreqFactor
      ? 0
      : (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    frequencies[n] = (1 - kept) * frequency / factor + kept * frequency;
  }
  return frequencies;
}

/**
 * Rotates one vector of 2·frequencies.length elements in place.
 *
 * @param values Holds the vector.
 * @param offset Where it starts.
 * @param rotary Layout and frequencies.
 * @param position Token position t, from 0.
 */
export function rotate(
  values: Float64Array | Float32Array,
  offset: number,
  rotary: Rotary,
  position: number,
): void {
  const { frequencies, layout } = rotary;
  const pairs = frequencies.length;
  const stride = layout === "half" ? 1 : 2;
  const toImaginary = layout === "half" ? pairs : 1;
  for (let n = 0; n < pairs; n++) {
    const frequency = frequencies[n]!;
    if (frequency === 0) continue;
    const cos = Math.cos(position * frequency);
    const sin = Math.sin(position * frequency);
    const re = offset + n * stride;
    const im = re + toImaginary;
    const a = values[re]!;
    const b = values[im]!;
    values[re] = a * cos - b * sin;
    values[im] = b * cos + a * sin;
  }
}

/** cos and sin of every position and pair, [T, width/2] each, row-major. */
export interface RotaryTable {
  readonly pairs: number;
  readonly cos: Float64Array;
  readonly sin: Float64Array;
}

/**
 * Tabulates the angles of consecutive positions, for vectors of many heads.
 *
 * @param frequencies Radians a token of each pair, [width/2].
 * @param start The first position.
 * @param count T, the number of positions.
 * @returns The table; row t belongs to position start + t.
 */
export function rotaryTable(
  frequencies: Float64Array,
  start: number,
  count: number,
): RotaryTable {
  const pairs = frequencies.length;
  const cos = new Float64Array(count * pairs);
  const sin = new Float64Array(count * pairs);
  for (let t = 0; t < count; t++) {
    for (let n = 0; n < pairs; n++) {
      const angle = (start + t) * frequencies[n]!;
      cos[t * pairs + n] = Math.cos(angle);
      sin[t * pairs + n] = Math.sin(angle);
    }
  }
  return { pairs, cos, sin };
}

/**
 * Rotates one vector in place by row `row` of a table; the same as rotate() at that row's position.
 *
 * @param values Holds the vector.
 * @param offset Where it starts.
 * @param layout How pairs lie in it.
 * @param table The angles.
 * @param row Row of the table.
 */
export function rotateByTable(
  values: Float64Array | Float32Array,
  offset: number,
  layout: Rotary["layout"],
  table: RotaryTable,
  row: number,
): void {
  const { pairs, cos, sin } = table;
  const stride = layout === "half" ? 1 : 2;
  const toImaginary = layout === "half" ? pairs : 1;
  for (let n = 0; n < pairs; n++) {
    const c = cos[row * pairs + n]!;
    const s = sin[row * pairs + n]!;
    const re = offset + n * stride;
    const im = re + toImaginary;
    const a = values[re]!;
    const b = values[im]!;
    values[re] = a * c - b * s;
    values[im] = b * c + a * s;
  }
}
