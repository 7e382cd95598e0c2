// Cases of attentionDecode().

import type { Arena, Gpu } from "../../device/gpu.ts";
import { attentionDecode } from "../attention_decode.ts";
import { fitsTileDecode } from "../attention_decode_tile.ts";
import { ATTENTION_DECODE_BENCH } from "./attention_decode_bench_cases.ts";
import { DECODE_CASES, type DecodeCase } from "./attention_decode_shapes.ts";
import { caseRows } from "./case_rows.ts";
import { padded, type View } from "../kernel.ts";
import type { CaseRandom, KernelCase, KernelEntry } from "./kernel_case.ts";

function parityCase(shape: DecodeCase): KernelCase {
  return {
    label: shape.label,
    ...(shape.elements.includes("f16") ? { needs: ["f16"] } : {}),
    fits: (gpu) =>
      !(shape.gpuOnly && gpu.facts.software) && fitsTile(gpu, shape),
    prepare: (arena, random) => prepare(shape, arena, random),
  };
}

/** Without it another form would be checked. */
function fitsTile(gpu: Gpu, shape: DecodeCase): boolean {
  if (shape.tile === undefined) return true;
  const [first, second] = shape.elements.map((element): View => ({
    buffer: {} as GPUBuffer,
    element,
    offset: 0,
    stride: 0,
  }));
  const views = { first: first!, second: second! };
  return fitsTileDecode(gpu, { ...shape, ...views }, shape.tile);
}

function prepare(shape: DecodeCase, arena: Arena, random: CaseRandom) {
  const { lengths, heads, splits, valueWidth, firstWidth, secondWidth } = shape;
  const { spread = 1 } = shape;
  const batch = lengths.length;
  const capacity = Math.max(...lengths) + 2;
  const cacheRows = {
    rows: batch * capacity,
    poisoned: (row: number) =>
      row % capacity > lengths[Math.floor(row / capacity)]!,
  };
  const keyWidth = firstWidth + secondWidth;
  const query = caseRows(arena, random, {
    rows: batch,
    width: heads * keyWidth,
    offset: 4,
    stride: padded(heads * keyWidth),
    std: spread,
  });
  const first = caseRows(arena, random, {
    ...cacheRows,
    width: shape.keyGroupStride === 0
      ? firstWidth
      : shape.keyGroups * firstWidth,
    element: shape.elements[0],
  });
  const second = caseRows(arena, random, {
    ...cacheRows,
    width: shape.valueFrom === "first"
      ? Math.max(1, secondWidth)
      : shape.valueGroups * valueWidth,
    element: shape.elements[1],
  });
  const scale = 1 / Math.sqrt(keyWidth);
  const values = shape.valueFrom === "first" ? first : second;
  const expected = new Float64Array(batch * heads * splits * valueWidth)
    .fill(NaN);
  const expectedStats = new Float64Array(batch * heads * splits * 2);
  for (let b = 0; b < batch; b++) {
    const keys = lengths[b]! + 1;
    const share = Math.ceil(keys / splits);
    for (let h = 0; h < heads; h++) {
      const key = Math.floor(h * shape.keyGroups / heads) *
        shape.keyGroupStride;
      const value = Math.floor(h * shape.valueGroups / heads) *
        shape.valueGroupStride;
      for (let s = 0; s < splits; s++) {
        const part = (b * heads + h) * splits + s;
        const scores: number[] = [];
        for (let j = s * share; j < Math.min(keys, (s + 1) * share); j++) {
          let score = 0;
          for (let c = 0; c < firstWidth; c++) {
            score += query.at(b, h * keyWidth + c) *
              first.at(b * capacity + j, key + c);
          }
          for (let c = 0; c < secondWidth; c++) {
            score += query.at(b, h * keyWidth + firstWidth + c) *
              second.at(b * capacity + j, c);
          }
          scores.push(score * scale * Math.LOG2E);
        }
        const top = Math.max(...scores, -3e38);
        const weights = scores.map((score) => 2 ** (score - top));
        expectedStats[2 * part] = top;
        expectedStats[2 * part + 1] = weights.reduce((sum, p) => sum + p, 0);
        if (scores.length === 0) continue;
        for (let c = 0; c < valueWidth; c++) {
          expected[part * valueWidth + c] = weights.reduce(
            (sum, p, k) =>
              sum + p * values.at(b * capacity + s * share + k, value + c),
            0,
          );
        }
      }
    }
  }
  const partial = arena.buffer("partial", 4 * expected.length);
  const stats = arena.buffer("stats", 4 * expectedStats.length);
  const dispatches = attentionDecode(arena, {
    ...shape,
    query: query.view,
    first: first.view,
    second: second.view,
    capacity,
    lengths: arena.upload("lengths", Uint32Array.from(lengths)),
    batch,
    scale,
    partial,
    stats,
  });
  // A score of size s has an error of about s·2^-23, and p that relative error.
  // In halves a score is off by about 2^-10, weights by 2^-12; the parts are sums
  // over many keys, of which some cancel.
  const tolerance = (shape.tile?.halves ? 8e-3 : 4e-6) * Math.max(1, spread);
  return {
    dispatches,
    outputs: [
      {
        name: "partial",
        buffer: partial,
        element: "f32" as const,
        expected,
        atol: tolerance,
        rtol: tolerance,
      },
      {
        name: "stats",
        buffer: stats,
        element: "f32" as const,
        expected: expectedStats,
        atol: tolerance,
        rtol: tolerance,
      },
    ],
  };
}

/** attentionDecode() in the table. */
export const attentionDecodeEntry: KernelEntry = {
  name: "attention_decode",
  parity: DECODE_CASES.map(parityCase),
  bench: ATTENTION_DECODE_BENCH,
};
