// FreqFold: which key dims are rotated together, and where the rotated
// components go (§4.2; official partial_rope.py:85-139).
//
// RoPE pair j of every head turns by the same angle, so pair j of all G heads may
// be mixed by one orthogonal matrix without changing a score. FreqFold F treats F
// neighboring frequencies as equal, so that one matrix mixes G·F pairs. Collapse
// C = d/m then keeps RoPE on every C-th frequency only.
//
// Letters: G key-value heads, d headDim, F freqFold, C collapse, A = F/C,
// I = d/(2F) groups, m = d/C rotary dims.

/** Sizes of one layer's folding. */
export interface FreqFold {
  /** G */
  readonly numKeyValueHeads: number;
  /** d */
  readonly headDim: number;
  /** F: divides d/2. */
  readonly freqFold: number;
  /** C: divides F. */
  readonly collapse: number;
}

/** Number of groups of frequencies, I = d/(2F). */
export function groupCount({ headDim, freqFold }: FreqFold): number {
  return headDim / (2 * freqFold);
}

/**
 * The merged key dims that a group mixes.
 *
 * Slot s of group i <-> (c, head, a), row-major over (C, G, A): its real part is
 * merged key dim head·d + i·F + a·C + c, its imaginary part lies d/2 further.
 *
 * @param fold Sizes.
 * @param group i
 * @returns The real parts' dims, `[G·F]`.
 */
export function realSlots(fold: FreqFold, group: number): Int32Array {
  const { numKeyValueHeads, headDim, freqFold, collapse } = fold;
  const steps = freqFold / collapse;
  const slots = new Int32Array(numKeyValueHeads * freqFold);
  let slot = 0;
  for (let c = 0; c < collapse; c++) {
    for (let head = 0; head < numKeyValueHeads; head++) {
      for (let a = 0; a < steps; a++) {
        slots[slot++] = head * headDim + group * freqFold + a * collapse + c;
      }
    }
  }
  return slots;
}

/**
 * Where a group's component goes.
 *
 * Component p of group i <-> (c, head, a), row-major over (C, G, A). Rows of the
 * rotated key are row-major over (c, head, i, a, re/im), so the strongest A
 * components of every group fill rows 0 to m-1, the rotary part, re and im adjacent.
 *
 * @param fold Sizes.
 * @param group i
 * @param component p, 0 for the largest eigenvalue.
 * @returns The row of the real part; the imaginary part's is the next.
 */
export function componentRow(
  fold: FreqFold,
  group: number,
  component: number,
): number {
  const { numKeyValueHeads, freqFold, collapse } = fold;
  const steps = freqFold / collapse;
  const a = component % steps;
  const head = Math.floor(component / steps) % numKeyValueHeads;
  const c = Math.floor(component / (steps * numKeyValueHeads));
  const groups = groupCount(fold);
  return (((c * numKeyValueHeads + head) * groups + group) * steps + a) * 2;
}

/**
 * Frequencies of the rotary part: pair n keeps the original's number C·n.
 *
 * @param frequencies The original's, radians a token, `[d/2]`.
 * @param fold Sizes.
 * @returns `[m/2]`
 */
export function retainedFrequencies(
  frequencies: Float64Array,
  { headDim, collapse }: FreqFold,
): Float64Array {
  return Float64Array.from(
    { length: headDim / (2 * collapse) },
    (_, n) => frequencies[n * collapse]!,
  );
}

/**
 * The folding that `qkRopeHeadDim` and `freqFold` ask for.
 *
 * @param freqFold F
 * @param qkRopeHeadDim m; C is d/m.
 * @param sizes The layer's G and d.
 * @param place What is converted, for the error: "layer 3".
 * @returns The sizes, checked.
 * @throws {RangeError} If m is odd or does not divide d, C does not divide F, or F does not divide d/2.
 */
export function freqFoldOf(
  freqFold: number,
  qkRopeHeadDim: number,
  sizes: { readonly numKeyValueHeads: number; readonly headDim: number },
  place?: string,
): FreqFold {
  const { numKeyValueHeads, headDim } = sizes;
  const refuse = (rule: string) => {
    throw new RangeError(`Cannot convert ${place ? `${place} ` : ""}${rule}`);
  };
  const m = qkRopeHeadDim;
  if (!Number.isInteger(m) || m < 2 || m % 2 !== 0 || headDim % m !== 0) {
    refuse(
      `with qkRopeHeadDim ${m} as it must be an even divisor of headDim ${headDim}: ${
        evenDivisors(headDim).join(", ")
      }`,
    );
  }
  const collapse = headDim / m;
  const F = freqFold;
  if (!Number.isInteger(F) || F < 1 || (headDim / 2) % F !== 0) {
    refuse(
      `with freqFold ${F} as it must divide headDim/2 = ${headDim / 2}: ${
        foldsOf(headDim, collapse).join(", ")
      }`,
    );
  }
  if (F % collapse !== 0) {
    refuse(
      `with freqFold ${F} as headDim/qkRopeHeadDim = ${collapse} must divide it: ${
        foldsOf(headDim, collapse).join(", ")
      }`,
    );
  }
  return { numKeyValueHeads, headDim, freqFold, collapse };
}

function evenDivisors(headDim: number): number[] {
  const all = Array.from({ length: headDim }, (_, i) => i + 1);
  return all.filter((m) => m % 2 === 0 && headDim % m === 0);
}

function foldsOf(headDim: number, collapse: number): number[] {
  const all = Array.from({ length: headDim / 2 }, (_, i) => i + 1);
  return all.filter((F) => (headDim / 2) % F === 0 && F % collapse === 0);
}
