// The largest eigenvalues of a symmetric positive semidefinite matrix and their
// eigenvectors: subspace iteration with a Chebyshev filter (Zhou et al. 2006),
// for matrices that the dense solver would take minutes over. All large work is
// matrix products.

import { type Matrix64, zeros64 } from "../base/tensor.ts";
import { ShapeError } from "../base/errors.ts";
import { columnBlock } from "./blocks.ts";
import { gemm64 } from "./gemm.ts";
import { columnNorms, orthonormalized, seededNoise } from "./orthonormal.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";

/** How exact the result shall be. */
export interface TopEigenOptions {
  /** Largest energy that may be missed, as a share of count times the smallest eigenvalue kept. @default 1e-8 */
  readonly tolerance?: number;
  /** Products with the matrix after which more is not tried. @default 300 */
  readonly maxProducts?: number;
  /** Of the random start. @default 1 */
  readonly seed?: number;
}

/** The top of a spectrum: A ≈ V diag(values) V^T on the span of V. */
export interface TopEigen {
  /** Descending: `count` of them and, where there are more, the next, `[min(count + 1, n)]`. */
  readonly values: Float64Array;
  /** Orthonormal eigenvectors in columns, `[n, count]`. */
  readonly vectors: Matrix64;
  /** At most this share of the kept energy, the sum of the first `count` values, is missed. */
  readonly missedEnergy: number;
  /** Products of the matrix with a block. */
  readonly products: number;
}

/** Share of the kept energy that may be missed where eigenvalues at the cut are too close to be told apart. */
const LOOSE_TOLERANCE = 1e-7;

/** Columns beside those asked for: a share of them, and at least as many. */
const OVERSAMPLING = { share: 1 / 8, least: 32 } as const;

/** The filter's largest degree. */
const MAX_DEGREE = 24;

/** Largest ratio of what a filter does to two columns before it drowns the weaker in the stronger's rounding. */
const FILTER_RANGE = 1e7;

/** Largest power of two of a matrix whose errors can be squared, and divided by. */
const SAFE_EXPONENT = 200;

/** How much further down a spectrum is taken to go than was found. */
const SPREAD_MARGIN = 0.1;

/** Approximate eigenpairs: orthonormal X, A X, and what is known of their errors. */
interface RitzPairs {
  /** Descending, `[b]`. */
  readonly values: Float64Array;
  /** X, `[n, b]` */
  readonly vectors: Matrix64;
  /** A X, `[n, b]` */
  readonly images: Matrix64;
  /** |A x - value x|, `[b]` */
  readonly residuals: Float64Array;
}

/**
 * Finds the largest eigenpairs. Equal input gives equal output; each
 * eigenvector's largest component is positive.
 *
 * @param a `[n, n]`, symmetric, positive semidefinite, finite.
 * @param count Eigenpairs wanted, 1 to n.
 * @param options How exact.
 * @returns The eigenpairs; where they are over a third of n, from the dense solver.
 * @throws {ShapeError} If the matrix is not square.
 * @throws {RangeError} If count is not 1 to n, or the tolerance is not reached.
 */
export async function topEigen(
  a: Matrix64,
  count: number,
  options: TopEigenOptions = {},
): Promise<TopEigen> {
  const { tolerance = 1e-8, maxProducts = 300, seed = 1 } = options;
  const n = a.rows;
  if (a.columns !== n) {
    throw new ShapeError(
      `Cannot decompose a matrix as it must be square: current shape is [${a.rows}, ${a.columns}]`,
    );
  }
  if (!Number.isInteger(count) || count < 1 || count > n) {
    throw new RangeError(
      `Cannot find eigenvalues as their number must be 1 to ${n}: current value is ${count}`,
    );
  }
  const scale = safeScale(a);
  if (scale !== 1) {
    const top = await topEigen(mapped(a, (x) => x * scale), count, options);
    return { ...top, values: top.values.map((value) => value / scale) };
  }
  const spare = Math.max(
    OVERSAMPLING.least,
    Math.ceil(count * OVERSAMPLING.share),
  );
  const width = count + spare;
  if (3 * width > n) return denseTop(a, count);

  const limits = { tolerance, maxProducts, seed };
  const first = await iterated(a, count, width, limits);
  if (first.reached) return topOf(first, count, 0, first.products);
  // A filter cannot tell eigenvalues apart that differ by a thousandth of their
  // size: less what all of them have in common, they differ by all of it.
  const common = await commonPart(a, first.pairs, limits);
  const second = common.value > 0
    ? await iterated(less(a, common.value), count, width, limits, common.value)
    : first;
  const products = first.products + common.products +
    (second === first ? 0 : second.products);
  if (second.reached) return topOf(second, count, common.value, products);
  throw new RangeError(
    `Cannot find the ${count} largest eigenvalues as at most ${LOOSE_TOLERANCE} of their sum may be missed: ${
      second.missed / second.kept
    } after ${products} products`,
  );
}

/** How subspace iteration ended. */
interface Iterated {
  readonly pairs: RitzPairs;
  /** Whether it is exact enough. */
  readonly reached: boolean;
  /** Energy that may be missed of `kept`. */
  readonly missed: number;
  /** Sum of the first `count` eigenvalues, those of the matrix with what was taken off. */
  readonly kept: number;
  readonly products: number;
}

/** Subspace iteration on a matrix that `common` times the identity was taken off. */
async function iterated(
  a: Matrix64,
  count: number,
  width: number,
  { tolerance, maxProducts, seed }: Required<TopEigenOptions>,
  common = 0,
): Promise<Iterated> {
  const noise = seededNoise(seed);
  let block = zeros64(a.rows, width);
  for (let i = 0; i < block.data.length; i++) block.data[i] = noise();
  let products = 0;
  for (;;) {
    const pairs = await rayleighRitz(a, await orthonormalized(block, noise));
    products++;
    const missed = missedEnergy(pairs, count);
    const kept = count * common +
      pairs.values.subarray(0, count).reduce((x, y) => x + y, 0);
    const spent = products >= maxProducts;
    // What is closer together than this is not worth telling apart.
    const enough = spent && missed <= LOOSE_TOLERANCE * kept;
    const reached = enough ||
      missed <= allowedEnergy(pairs, count, tolerance, common);
    if (reached || spent) return { pairs, reached, missed, kept, products };
    const degree = filterDegree(pairs);
    block = await filtered(a, pairs, degree);
    products += degree - 1;
  }
}

function topOf(
  { pairs, missed, kept }: Iterated,
  count: number,
  common: number,
  products: number,
): TopEigen {
  return {
    values: pairs.values.slice(0, count + 1).map((value) => value + common),
    vectors: signed(columnBlock(pairs.vectors, 0, count)),
    missedEnergy: kept > 0 ? missed / kept : 0,
    products,
  };
}

/**
 * A little less than the smallest eigenvalue: the largest of c - A, with c the
 * largest of A, says how far down the spectrum goes.
 */
async function commonPart(
  a: Matrix64,
  { values, residuals }: RitzPairs,
  limits: Required<TopEigenOptions>,
): Promise<{ value: number; products: number }> {
  const largest = values[0]! + residuals[0]!;
  const flipped = less(mapped(a, (x) => -x), -largest);
  const { pairs, products } = await iterated(
    flipped,
    1,
    1 + OVERSAMPLING.least,
    { ...limits, tolerance: SPREAD_MARGIN / 10 },
  );
  const spread = pairs.values[0]! * (1 + SPREAD_MARGIN);
  return { value: largest - spread, products };
}

/** A power of two, so that no bit is lost, where squares of errors would leave the range of numbers; else 1. */
function safeScale({ rows, data }: Matrix64): number {
  // No element of a semidefinite matrix is above its largest diagonal element.
  let largest = 0;
  for (let i = 0; i < rows; i++) {
    largest = Math.max(largest, data[i * rows + i]!);
  }
  if (!(largest > 0 && largest < Infinity)) return 1;
  const exponent = Math.floor(Math.log2(largest));
  return Math.abs(exponent) < SAFE_EXPONENT
    ? 1
    : 2 ** -Math.max(-1000, exponent);
}

function mapped(a: Matrix64, change: (value: number) => number): Matrix64 {
  return { ...a, data: a.data.map(change) };
}

/** A - value I. */
function less(a: Matrix64, value: number): Matrix64 {
  const data = a.data.slice();
  for (let i = 0; i < a.rows; i++) data[i * a.rows + i]! -= value;
  return { ...a, data };
}

function denseTop(a: Matrix64, count: number): TopEigen {
  const { values, vectors } = symmetricEigen(a);
  return {
    values: values.slice(0, count + 1),
    vectors: columnBlock(vectors, 0, count),
    missedEnergy: 0,
    products: 0,
  };
}

/** The best approximations in the span of an orthonormal block. */
async function rayleighRitz(a: Matrix64, block: Matrix64): Promise<RitzPairs> {
  const product = await gemm64(a, block);
  const projected = await gemm64(block, product, { transA: true });
  const { rows: b, data } = projected;
  for (let i = 0; i < b; i++) {
    for (let j = 0; j < i; j++) {
      const mean = (data[i * b + j]! + data[j * b + i]!) / 2;
      data[i * b + j] = mean;
      data[j * b + i] = mean;
    }
  }
  const { values, vectors: rotation } = symmetricEigen(projected);
  const vectors = await gemm64(block, rotation);
  const images = await gemm64(product, rotation);
  const errors = zeros64(vectors.rows, b);
  for (let i = 0; i < errors.data.length; i++) {
    errors.data[i] = images.data[i]! - values[i % b]! * vectors.data[i]!;
  }
  return { values, vectors, images, residuals: columnNorms(errors) };
}

/**
 * Energy that the first `count` pairs can miss: an eigenvalue is within the
 * residual of its Ritz value, and within its square over the gap to what is
 * outside the block, for which the block's smallest value stands.
 */
function missedEnergy(
  { values, residuals }: RitzPairs,
  count: number,
): number {
  const edge = values.at(-1)!;
  let missed = 0;
  for (let i = 0; i < count; i++) {
    const residual = residuals[i]!;
    const gap = values[i]! - edge;
    missed += gap > residual ? residual ** 2 / gap : residual;
  }
  return missed;
}

/**
 * Relative to the weakest direction kept, not to the sum: a direction a million
 * times stronger than the others would hide whether those were found. Below
 * rounding of the strongest nothing can be asked.
 */
function allowedEnergy(
  { values }: RitzPairs,
  count: number,
  tolerance: number,
  common: number,
): number {
  const weakest = Math.max(0, values[count - 1]! + common);
  const strongest = values[0]! + common;
  return count * Math.max(tolerance * weakest, 1e-14 * strongest);
}

/** The highest degree whose filter leaves the weakest column visible beside the strongest. */
function filterDegree({ values, residuals }: RitzPairs): number {
  const edge = values.at(-1)!;
  const largest = values[0]!;
  // Nothing outside the block: any filter would divide by rounding errors.
  if (!(edge > 1e-13 * largest)) return 1;
  // A column holds of the strongest direction what its residual admits.
  const mixing = Math.max(1e-12, ...residuals.map((r) => r / largest));
  const allowed = Math.log(FILTER_RANGE / Math.min(1, mixing));
  const growth = Math.acosh(Math.max(1, 2 * largest / edge - 1));
  // T_k grows as exp(k acosh t) / 2, and is 1 at the edge.
  return growth > 0
    ? Math.max(1, Math.min(MAX_DEGREE, Math.floor(allowed / growth)))
    : MAX_DEGREE;
}

/**
 * T_k(2 A / edge - 1) X, scaled to 1 at the largest value: damps all eigenvalues
 * from 0 to the block's smallest, and grows those above it.
 */
async function filtered(
  a: Matrix64,
  { values, vectors, images }: RitzPairs,
  degree: number,
): Promise<Matrix64> {
  const half = values.at(-1)! / 2;
  if (degree === 1 || !(half > 0)) return images;
  const first = half / (values[0]! - half);
  let sigma = first;
  let before = vectors;
  let block = combined(images, vectors, half, sigma / half);
  for (let k = 2; k <= degree; k++) {
    const next = 1 / (2 / first - sigma);
    const image = await gemm64(a, block);
    const grown = combined(image, block, half, 2 * next / half);
    for (let i = 0; i < grown.data.length; i++) {
      grown.data[i]! -= sigma * next * before.data[i]!;
    }
    before = block;
    block = grown;
    sigma = next;
  }
  return block;
}

/** (image - center block) factor. */
function combined(
  image: Matrix64,
  block: Matrix64,
  center: number,
  factor: number,
): Matrix64 {
  const result = zeros64(block.rows, block.columns);
  for (let i = 0; i < result.data.length; i++) {
    result.data[i] = (image.data[i]! - center * block.data[i]!) * factor;
  }
  return result;
}

/** Columns turned so that the largest component, the first of equals, is positive; in place. */
function signed(vectors: Matrix64): Matrix64 {
  const { rows, columns, data } = vectors;
  const largest = new Float64Array(columns);
  for (let i = 0; i < data.length; i++) {
    const j = i % columns;
    if (Math.abs(data[i]!) > Math.abs(largest[j]!)) largest[j] = data[i]!;
  }
  for (let i = 0; i < rows * columns; i++) {
    if (largest[i % columns]! < 0) data[i] = -data[i]!;
  }
  return vectors;
}
