// A thread of EigenPool: decomposes the matrices that it is sent, one at a time.

import type { Matrix64 } from "../base/tensor.ts";
import { type SymmetricEigen, symmetricEigen } from "./symmetric_eigen.ts";

/** What a thread answers. */
export type EigenReply =
  | { readonly eigen: SymmetricEigen }
  | { readonly error: string };

/** The scope of a worker; the compiler is told of a window's. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<Matrix64>) => void) | null;
  postMessage(message: EigenReply, transfer?: Transferable[]): void;
}

const scope = globalThis as unknown as WorkerScope;

scope.onmessage = ({ data }) => {
  try {
    const eigen = symmetricEigen(data);
    const { values, vectors } = eigen;
    scope.postMessage({ eigen }, [
      values.buffer as ArrayBuffer,
      vectors.data.buffer as ArrayBuffer,
    ]);
  } catch (error) {
    scope.postMessage({ error: (error as Error).message });
  }
};
