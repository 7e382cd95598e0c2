// Values that go into runs of graphs, made as views without copies.

import { ort } from "../../linalg/onnx_runtime.ts";
import type { Stage } from "./loaded_model.ts";
import type { RotaryTables } from "./rotary_tables.ts";

/** Values by name. */
export type Values = Readonly<Record<string, ort.Tensor>>;

/** Rows of `width` numbers, `[N, width]`. */
export function rowsTensor(x: Float32Array, width: number): ort.Tensor {
  return new ort.Tensor("float32", x, [x.length / width, width]);
}

/** The numbers of an f32 value. */
export function floats(value: ort.Tensor): Float32Array {
  return value.data as Float32Array;
}

/** The weights that a session asks for. */
export function pickFeeds(
  session: ort.InferenceSession,
  feeds: readonly ReadonlyMap<string, ort.Tensor>[],
): Values {
  const picked: Record<string, ort.Tensor> = {};
  for (const name of session.inputNames) {
    for (const some of feeds) {
      const value = some.get(name);
      if (value !== undefined) picked[name] = value;
    }
  }
  return picked;
}

/** The rotary tables of a stage for positions [start, end). */
export function rotaryFeeds(
  stage: Stage,
  tables: RotaryTables,
  start: number,
  end: number,
): Values {
  const feeds: Record<string, ort.Tensor> = {};
  for (const [slot, id] of stage.rotaries.entries()) {
    const { cos, sin } = tables.rows(id, start, end);
    // A layer without rotary dims has no tables in its graph.
    if (cos.size === 0) continue;
    feeds[`cos.${slot}`] = cos;
    feeds[`sin.${slot}`] = sin;
  }
  return feeds;
}

/** The embeddings of sequences of equal length, `[B·T, D]`. */
export function embed(
  { data, shape }: { data: Float32Array; shape: readonly number[] },
  tokens: readonly Int32Array[],
): Float32Array {
  const width = shape[1]!;
  const x = new Float32Array(tokens.length * tokens[0]!.length * width);
  let row = 0;
  for (const sequence of tokens) {
    for (const id of sequence) {
      x.set(data.subarray(id * width, (id + 1) * width), width * row++);
    }
  }
  return x;
}
