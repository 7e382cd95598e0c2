import type { Arena } from "../../device/gpu.ts";
import {
  crossEntropy,
  NO_TARGET,
  vocabularyPartial,
} from "../cross_entropy.ts";
import { type Element, ELEMENT_BYTES, padded } from "../kernel.ts";
import type { CaseRandom, KernelCase, KernelEntry } from "./kernel_case.ts";

/** A vocabulary in chunks of columns. */
interface Shape {
  readonly rows: number;
  readonly vocabulary: number;
  /** Columns of a chunk; the last one may have fewer. */
  readonly chunk: number;
  readonly element: Element;
  /** Elements before the first row, and more from row to row. */
  readonly offset?: number;
  readonly gap?: number;
  /** Standard deviation of logits. */
  readonly std?: number;
}

function parity(shape: Shape): KernelCase {
  const { rows, vocabulary, chunk, element, offset = 0, gap = 0 } = shape;
  return {
    label: `rows ${rows}, V ${vocabulary} by ${chunk}, ${element}` +
      (offset + gap > 0 ? `, offset ${offset}, gap ${gap}` : "") +
      (shape.std === undefined ? "" : `, logits of std ${shape.std}`),
    needs: element === "f16" ? ["f16"] : [],
    prepare(arena, random) {
      const values = random.normal(rows * vocabulary, shape.std ?? 3);
      if (element === "f16") values.set(new Float16Array(values));
      const ids = random.integers(rows, vocabulary);
      ids[0] = vocabulary - 1;
      if (rows > 2) ids[2] = NO_TARGET;
      const targets = arena.upload("targets", ids);
      const state = arena.buffer("state", rows * 12);
      const out = arena.buffer("losses", (rows + 3) * 4);
      const dispatches = [];
      for (let first = 0; first < vocabulary; first += chunk) {
        const columns = Math.min(chunk, vocabulary - first);
        const stride = padded(chunk) + gap;
        // What lies beside the columns is NaN and must not be taken.
        const data = new (element === "f16" ? Float16Array : Float32Array)(
          offset + rows * stride,
        ).fill(NaN);
        for (let r = 0; r < rows; r++) {
          const row = r * vocabulary + first;
          data.set(
            values.subarray(row, row + columns),
            offset + r * stride,
          );
        }
        dispatches.push(...vocabularyPartial(arena, {
          logits: {
            buffer: arena.upload("logits", data),
            element,
            offset,
            stride,
          },
          rows,
          columns,
          firstColumn: first,
          targets,
          state,
          first: first === 0,
          threads: 64,
        }));
      }
      dispatches.push(...crossEntropy(arena, { state, rows, targets, out }));
      const expected = new Float64Array(rows + 3).fill(NaN);
      expected.set(losses(values, ids));
      return {
        dispatches,
        outputs: [{
          name: "losses",
          buffer: out,
          element: "f32",
          expected,
          atol: 5e-6,
          rtol: 1e-6,
        }],
      };
    },
  };
}

function losses(logits: Float32Array, targets: Uint32Array): Float64Array {
  const columns = logits.length / targets.length;
  return Float64Array.from(targets, (target, r) => {
    if (target === NO_TARGET) return 0;
    const row = logits.subarray(r * columns, (r + 1) * columns);
    const maximum = row.reduce((a, b) => Math.max(a, b));
    const sum = row.reduce((total, x) => total + Math.exp(x - maximum), 0);
    return maximum + Math.log(sum) - row[target]!;
  });
}

function bench(rows: number, columns: number, element: Element): KernelCase {
  return {
    label: `rows ${rows}, ${columns} columns, ${element}`,
    needs: element === "f16" ? ["f16"] : [],
    prepare(arena: Arena, random: CaseRandom) {
      const stride = padded(columns);
      const targets = arena.upload("targets", random.integers(rows, columns));
      return {
        dispatches: vocabularyPartial(arena, {
          logits: {
            buffer: arena.buffer(
              "logits",
              rows * stride * ELEMENT_BYTES[element],
            ),
            element,
            offset: 0,
            stride,
          },
          rows,
          columns,
          firstColumn: 0,
          targets,
          state: arena.buffer("state", rows * 12),
          first: true,
        }),
        outputs: [],
      };
    },
  };
}

/** Cross-entropy over a vocabulary in chunks. */
export const crossEntropyEntry: KernelEntry = {
  name: "cross_entropy",
  parity: [
    parity({ rows: 1, vocabulary: 1, chunk: 1, element: "f32" }),
    parity({ rows: 5, vocabulary: 1003, chunk: 1003, element: "f32" }),
    parity({ rows: 7, vocabulary: 1003, chunk: 300, element: "f32" }),
    parity({
      rows: 3,
      vocabulary: 259,
      chunk: 87,
      element: "f32",
      offset: 3,
      gap: 1,
    }),
    parity({ rows: 4, vocabulary: 515, chunk: 200, element: "f32", std: 60 }),
    parity({ rows: 5, vocabulary: 517, chunk: 130, element: "f16" }),
    parity({
      rows: 4,
      vocabulary: 517,
      chunk: 131,
      element: "f16",
      offset: 1,
      gap: 3,
    }),
  ],
  bench: [
    bench(2048, 32000, "f32"),
    bench(2048, 16384, "f32"),
    bench(2048, 16384, "f16"),
  ],
};
