// Tensors that know how they are made: seeded uniform numbers, each from its
// index alone, so that a device can make the same numbers without an upload.

import { elementsOf, type Tensor } from "./tensor.ts";

/** How a tensor's numbers are made: number i is seededNumber(first + i). */
export interface Seeded {
  /** u32 */
  readonly seed: number;
  /** Numbers are uniform in [-scale, scale); exact in f32. */
  readonly scale: number;
  /** Index of the first number, u32. */
  readonly first: number;
}

/** A tensor of seeded numbers; `data` is made when it is first read. */
export interface SeededTensor extends Tensor {
  readonly seeded: Seeded;
}

/**
 * Makes a tensor of seeded uniform numbers; nothing is computed until `data` is read.
 *
 * @param shape The axes, outermost first; at most 2^32 elements.
 * @param seed u32
 * @param scale Numbers lie in [-scale, scale); rounded to f32.
 * @returns The tensor.
 * @throws {RangeError} If seed is no u32 or there are too many elements.
 */
export function seededTensor(
  shape: readonly number[],
  seed: number,
  scale: number,
): SeededTensor {
  const elements = elementsOf({ shape });
  if (seed >>> 0 !== seed) {
    throw new RangeError(
      `Cannot make a seeded tensor as seed must be an integer in 0..${
        2 ** 32 - 1
      }: current value is ${seed}`,
    );
  }
  if (!(elements <= 2 ** 32)) {
    throw new RangeError(
      `Cannot make a seeded tensor as its elements must be <= ${
        2 ** 32
      }: current value is ${elements}`,
    );
  }
  return new LazyTensor(shape, { seed, scale: Math.fround(scale), first: 0 });
}

/**
 * Numbers [first, first + count) of a seed.
 *
 * @param seeded How they are made.
 * @param count How many.
 * @returns The numbers, [count].
 */
export function seededNumbers(
  { seed, scale, first }: Seeded,
  count: number,
): Float32Array {
  const numbers = new Float32Array(count);
  // 24 bits times 24 bits: the product is exact until it is rounded to f32, once.
  const unit = Math.fround(scale * 2 ** -23);
  for (let i = 0; i < count; i++) {
    const index = (first + i) | 0;
    numbers[i] = (mix(mix(index) ^ seed) >> 8) * unit;
  }
  return numbers;
}

/**
 * A bijection of u32 that leaves no pattern of its input (lowbias32 of C. Wellons).
 *
 * @param value Its low 32 bits count.
 * @returns As an i32.
 */
export function mix(value: number): number {
  let h = value ^ (value >>> 16);
  h = Math.imul(h, 0x7feb352d);
  h ^= h >>> 15;
  h = Math.imul(h, 0x846ca68b);
  return h ^ (h >>> 16);
}

class LazyTensor implements SeededTensor {
  readonly shape: readonly number[];
  readonly seeded: Seeded;
  #data: Float32Array | undefined;

  constructor(shape: readonly number[], seeded: Seeded) {
    this.shape = shape;
    this.seeded = seeded;
  }

  get data(): Float32Array {
    return this.#data ??= seededNumbers(this.seeded, elementsOf(this));
  }
}
