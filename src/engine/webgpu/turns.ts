// Operations on one device, one after the other: their buffers are shared, and a
// fault belongs to the operation that runs.

/** A queue of asynchronous operations. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Runs an operation once all before it have ended, well or not.
   *
   * @param operation Must not wait for a later one.
   * @returns What it returns.
   */
  take<T>(operation: () => T | Promise<T>): Promise<T> {
    const result = this.#last.then(operation);
    this.#last = result.catch(() => {});
    return result;
  }
}
