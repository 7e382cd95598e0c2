// Matrix products through one-node onnxruntime graphs on the CPU, in f64 and f32.

import { type Matrix64, type Tensor, zeros64 } from "../base/tensor.ts";
import { ShapeError } from "../base/errors.ts";
import { GraphBuilder } from "./onnx_graph.ts";
import { createSession, ort } from "./onnx_runtime.ts";

/** Which factors are transposed before they are multiplied. */
export interface GemmOptions {
  /** @default false */
  readonly transA?: boolean;
  /** @default false */
  readonly transB?: boolean;
}

/** Multiply-adds below which calling the runtime takes longer than a plain loop. */
const PLAIN_LIMIT = 32_768;

/**
 * C = op(A) op(B) in f64.
 *
 * @param a [M, K], or [K, M] if transposed.
 * @param b [K, N], or [N, K] if transposed.
 * @returns [M, N].
 * @throws {ShapeError} If the inner axes differ.
 */
export async function gemm64(
  a: Matrix64,
  b: Matrix64,
  options: GemmOptions = {},
): Promise<Matrix64> {
  const sizes = productSizes(
    [a.rows, a.columns],
    [b.rows, b.columns],
    options,
  );
  const c = zeros64(sizes.m, sizes.n);
  if (sizes.m * sizes.n * sizes.k <= PLAIN_LIMIT) {
    multiplyPlainly(a.data, b.data, c.data, sizes, options);
    return c;
  }
  await multiply("float64", a.data, b.data, c.data, sizes, options);
  return c;
}

/**
 * C = op(A) op(B) in f32.
 *
 * @param a [M, K], or [K, M] if transposed.
 * @param b [K, N], or [N, K] if transposed.
 * @returns [M, N].
 * @throws {ShapeError} If a factor has not two axes or the inner axes differ.
 */
export async function gemm32(
  a: Tensor,
  b: Tensor,
  options: GemmOptions = {},
): Promise<Tensor> {
  const sizes = productSizes(a.shape, b.shape, options);
  const data = new Float32Array(sizes.m * sizes.n);
  if (sizes.m * sizes.n * sizes.k <= PLAIN_LIMIT) {
    multiplyPlainly(a.data, b.data, data, sizes, options);
  } else {
    await multiply("float32", a.data, b.data, data, sizes, options);
  }
  return { shape: [sizes.m, sizes.n], data };
}

/** C [m, n] = A [m, k] B [k, n]. */
interface ProductSizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

function productSizes(
  a: readonly number[],
  b: readonly number[],
  { transA = false, transB = false }: GemmOptions,
): ProductSizes {
  const [aRows, aColumns] = a;
  const [bRows, bColumns] = b;
  if (
    a.length !== 2 || b.length !== 2 || aRows === undefined ||
    aColumns === undefined || bRows === undefined || bColumns === undefined
  ) {
    throw new ShapeError(
      `Cannot multiply as both factors must have 2 axes: current shapes are [${a}] and [${b}]`,
    );
  }
  const [m, k] = transA ? [aColumns, aRows] : [aRows, aColumns];
  const [inner, n] = transB ? [bColumns, bRows] : [bRows, bColumns];
  if (k !== inner) {
    throw new ShapeError(
      `Cannot multiply [${m}, ${k}] by [${inner}, ${n}] as the inner axes must be equal`,
    );
  }
  return { m, n, k };
}

/** c += op(a) op(b). */
function multiplyPlainly(
  a: Float32Array | Float64Array,
  b: Float32Array | Float64Array,
  c: Float32Array | Float64Array,
  { m, n, k }: ProductSizes,
  { transA = false, transB = false }: GemmOptions,
): void {
  const [aRow, aColumn] = transA ? [1, m] : [k, 1];
  const [bRow, bColumn] = transB ? [1, k] : [n, 1];
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++) {
        sum += a[i * aRow + l * aColumn]! * b[l * bRow + j * bColumn]!;
      }
      c[i * n + j] = sum;
    }
  }
}

/** One session a type and pair of transpositions, for the life of the process. */
const sessions = new Map<string, Promise<ort.InferenceSession>>();

async function multiply(
  type: "float32" | "float64",
  a: Float32Array | Float64Array,
  b: Float32Array | Float64Array,
  c: Float32Array | Float64Array,
  { m, n, k }: ProductSizes,
  { transA = false, transB = false }: GemmOptions,
): Promise<void> {
  const key = `${type} ${transA} ${transB}`;
  let session = sessions.get(key);
  if (session === undefined) {
    session = createSession(gemmGraph(type, transA, transB));
    sessions.set(key, session);
  }
  await (await session).run({
    a: new ort.Tensor(type, a, transA ? [k, m] : [m, k]),
    b: new ort.Tensor(type, b, transB ? [n, k] : [k, n]),
  }, { c: new ort.Tensor(type, c, [m, n]) });
}

function gemmGraph(
  type: "float32" | "float64",
  transA: boolean,
  transB: boolean,
): GraphBuilder {
  const graph = new GraphBuilder();
  const a = graph.input("a", type, transA ? ["k", "m"] : ["m", "k"]);
  const b = graph.input("b", type, transB ? ["n", "k"] : ["k", "n"]);
  const c = graph.node("Gemm", [a, b], {
    transA: Number(transA),
    transB: Number(transB),
  });
  graph.output("c", c, type, ["m", "n"]);
  return graph;
}
