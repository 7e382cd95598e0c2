// Layers made at the same time, taken in their order.

/**
 * Makes values of which a few are under way at once.
 *
 * @param count How many.
 * @param ahead How many beyond the next one are begun.
 * @param make Makes one.
 * @returns The values in order; the first failure in that order is thrown.
 */
export async function* inOrder<T>(
  count: number,
  ahead: number,
  make: (index: number) => Promise<T>,
): AsyncGenerator<T> {
  const pending: Promise<T>[] = [];
  let begun = 0;
  for (let index = 0; index < count; index++) {
    while (begun < count && begun <= index + ahead) {
      const value = make(begun++);
      // It is thrown when its turn comes.
      value.catch(() => {});
      pending.push(value);
    }
    yield await pending.shift()!;
  }
}
