// The second moments that calibration collects: sum_t w_t [h_t;1][h_t;1]^T.

/**
 * Gram matrix of rows with a constant 1 appended.
 *
 * @param hidden Rows h, [T, D].
 * @param rows T.
 * @param weights w, [T]. @default 1 for all
 * @returns sum_t w_t [h_t;1][h_t;1]^T, [(D+1)·(D+1)], symmetric.
 */
export function augmentedGram(
  hidden: Float64Array,
  rows: number,
  weights?: Float32Array,
): Float64Array {
  const width = hidden.length / rows;
  const size = width + 1;
  const gram = new Float64Array(size * size);
  for (let t = 0; t < rows; t++) {
    const row = t * width;
    const weight = weights?.[t] ?? 1;
    for (let i = 0; i < width; i++) {
      const element = weight * hidden[row + i]!;
      for (let j = i; j < width; j++) {
        gram[i * size + j]! += element * hidden[row + j]!;
      }
      gram[i * size + width]! += element;
    }
    gram[size * size - 1]! += weight;
  }
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < i; j++) gram[i * size + j] = gram[j * size + i]!;
  }
  return gram;
}
