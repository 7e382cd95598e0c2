// Balanced key-value (BKV): before keys and values share one PCA, the nope keys
// are divided by a number that makes both equally large; else the keys, which are
// several times larger, would take the whole latent (§4.3, Fig. 4a; official
// lora_qkv.py:110-120). The key up-projection is multiplied by the same number.

import type { Matrix64 } from "../base/tensor.ts";

/**
 * The official divisor: mean of channel norms of the nope keys over that of the values.
 *
 * The values lose their first m channels here too. That is a quirk of the official
 * code, which slices both alike (lora_qkv.py:110-120); we keep it for parity.
 *
 * @param energies sum_t x_tc^2 of each channel c of [k; v], k in the rotated basis, `[2·G·d]`.
 * @param qkRopeHeadDim m
 * @param ratio How much larger than the values the balanced keys shall be.
 * @returns rho; 1 where no nope key or no value energy remains.
 */
export function channelRatio(
  energies: Float64Array,
  qkRopeHeadDim: number,
  ratio: number,
): number {
  const channels = energies.length;
  const width = channels / 2;
  const keys = meanChannelNorm(energies, qkRopeHeadDim, width);
  const values = meanChannelNorm(energies, width + qkRopeHeadDim, channels);
  return divisor(keys, values, ratio);
}

/**
 * The paper's divisor, §4.3: E||k_nope||_2 / E||v||_2 over tokens, all value channels.
 *
 * @param nopeKeys Sampled tokens' rotated keys without their first m dims, `[R, G·d - m]`.
 * @param values The same tokens' values, `[R, G·d]`.
 * @param ratio How much larger than the values the balanced keys shall be.
 * @returns alpha; 1 where no nope key or no value energy remains.
 */
export function tokenRatio(
  nopeKeys: Matrix64,
  values: Matrix64,
  ratio: number,
): number {
  return divisor(meanRowNorm(nopeKeys), meanRowNorm(values), ratio);
}

function divisor(keys: number, values: number, ratio: number): number {
  return keys > 0 && values > 0 ? keys / (values * ratio) : 1;
}

/** Mean over channels of sqrt(sum_t x_tc^2); 0 of no channels. */
function meanChannelNorm(
  energies: Float64Array,
  from: number,
  to: number,
): number {
  let sum = 0;
  for (let c = from; c < to; c++) {
    // A channel that is always zero may come out as -1e-17.
    sum += Math.sqrt(Math.max(0, energies[c]!));
  }
  return to > from ? sum / (to - from) : 0;
}

function meanRowNorm({ rows, columns, data }: Matrix64): number {
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    let square = 0;
    for (let c = row * columns; c < (row + 1) * columns; c++) {
      square += data[c]! * data[c]!;
    }
    sum += Math.sqrt(square);
  }
  return rows > 0 ? sum / rows : 0;
}
