// Windows of a text in batches.

/**
 * The size of batches that are as few as can be, the last hardly smaller than the
 * others: 148 windows of which 16 go together are nine batches of 15 and one of 13.
 *
 * @param count All windows, >= 1.
 * @param most Windows of a batch at most, >= 1.
 * @returns Windows of a batch; the last batch may have fewer.
 */
export function evenBatch(count: number, most: number): number {
  return Math.ceil(count / Math.ceil(count / most));
}
