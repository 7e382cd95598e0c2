// Cosines and sines of rotary positions, one pair of tables for each distinct
// list of frequencies.

import { ort } from "../../linalg/onnx_runtime.ts";
import type { Rotary } from "../../model/decoder.ts";

interface Tables {
  readonly frequencies: Float64Array;
  /** [positions, width/2] */
  cos: Float32Array;
  sin: Float32Array;
}

/** The tables of one model. */
export class RotaryTables {
  #tables: Tables[] = [];
  #ids = new Map<string, number>();

  /** The number under which the tables of these frequencies are kept. */
  add({ frequencies }: Rotary): number {
    const key = String(frequencies);
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const empty = new Float32Array(0);
    this.#tables.push({ frequencies, cos: empty, sin: empty });
    this.#ids.set(key, this.#tables.length - 1);
    return this.#tables.length - 1;
  }

  /** Rows of positions [start, end), `[end - start, width/2]`. */
  rows(
    id: number,
    start: number,
    end: number,
  ): { cos: ort.Tensor; sin: ort.Tensor } {
    const tables = this.#tables[id]!;
    const half = tables.frequencies.length;
    if (tables.cos.length < end * half) extend(tables, 2 * end);
    const view = (table: Float32Array) =>
      new ort.Tensor(
        "float32",
        table.subarray(start * half, end * half),
        [end - start, half],
      );
    return { cos: view(tables.cos), sin: view(tables.sin) };
  }
}

function extend(tables: Tables, positions: number): void {
  const { frequencies } = tables;
  const half = frequencies.length;
  tables.cos = new Float32Array(positions * half);
  tables.sin = new Float32Array(positions * half);
  for (let t = 0; t < positions; t++) {
    for (let n = 0; n < half; n++) {
      const angle = t * frequencies[n]!;
      tables.cos[t * half + n] = Math.cos(angle);
      tables.sin[t * half + n] = Math.sin(angle);
    }
  }
}
