// Dense eigendecompositions in threads: the solver runs on one core, and layers
// do not wait for each other.

import type { Matrix64 } from "../base/tensor.ts";
import type { EigenReply } from "./eigen_worker.ts";
import { type SymmetricEigen, symmetricEigen } from "./symmetric_eigen.ts";

/** Matrices narrower than this are decomposed where they are: sending them takes longer. */
const THREADED_WIDTH = 128;

/** Threads at most: each has a JavaScript engine of its own. */
const MAX_THREADS = 8;

interface Job {
  readonly matrix: Matrix64;
  resolve(eigen: SymmetricEigen): void;
  reject(error: Error): void;
}

/** Threads that decompose matrices; they begin with the first, and end with the pool. */
export class EigenPool implements Disposable {
  readonly size: number;
  #idle: Worker[] = [];
  readonly #busy = new Map<Worker, Job>();
  #waiting: Job[] = [];
  #closed = false;

  /** @param size Threads. @default the number of cores, 8 at most */
  constructor(size: number = navigator.hardwareConcurrency) {
    this.size = Math.max(1, Math.min(size, MAX_THREADS));
  }

  /**
   * As symmetricEigen(), in a thread where the matrix is wide enough.
   *
   * @param a `[n, n]`, symmetric and finite; it must not be written before the result is there.
   * @returns Eigenvalues and eigenvectors, bit for bit those of symmetricEigen().
   * @throws {RangeError} If the matrix is not symmetric, or holds NaN or infinity.
   */
  async decompose(a: Matrix64): Promise<SymmetricEigen> {
    if (a.rows < THREADED_WIDTH || this.size === 1) return symmetricEigen(a);
    if (this.#closed) throw poolClosed();
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ matrix: a, resolve, reject });
      this.#next();
    });
  }

  /** Ends the threads; what is not done fails. */
  [Symbol.dispose](): void {
    this.#closed = true;
    for (const job of [...this.#busy.values(), ...this.#waiting]) {
      job.reject(poolClosed());
    }
    for (const worker of [...this.#busy.keys(), ...this.#idle]) {
      worker.terminate();
    }
    this.#busy.clear();
    this.#waiting = [];
    this.#idle = [];
  }

  #next(): void {
    const job = this.#waiting[0];
    if (job === undefined) return;
    const worker = this.#idle.pop() ??
      (this.#busy.size < this.size ? this.#start() : undefined);
    if (worker === undefined) return;
    this.#waiting.shift();
    this.#busy.set(worker, job);
    worker.postMessage(job.matrix);
  }

  #start(): Worker {
    const worker = new Worker(
      new URL("./eigen_worker.ts", import.meta.url).href,
      { type: "module" },
    );
    worker.onmessage = ({ data }: MessageEvent<EigenReply>) => {
      const job = this.#busy.get(worker);
      if (this.#closed || job === undefined) return;
      this.#busy.delete(worker);
      this.#idle.push(worker);
      if ("eigen" in data) job.resolve(data.eigen);
      else job.reject(new RangeError(data.error));
      this.#next();
    };
    worker.onerror = (event) => {
      event.preventDefault();
      const job = this.#busy.get(worker);
      this.#busy.delete(worker);
      worker.terminate();
      job?.reject(new Error(`Cannot decompose in a thread: ${event.message}`));
      if (!this.#closed) this.#next();
    };
    return worker;
  }
}

function poolClosed(): Error {
  return new Error("Cannot decompose as the pool is closed");
}
