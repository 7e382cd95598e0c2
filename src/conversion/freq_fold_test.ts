import { assertEquals, assertThrows } from "@std/assert";
import {
  componentRow,
  type FreqFold,
  freqFoldOf,
  groupCount,
  realSlots,
  retainedFrequencies,
} from "./freq_fold.ts";

const FOLDS: readonly FreqFold[] = [
  { numKeyValueHeads: 1, headDim: 4, freqFold: 1, collapse: 1 },
  { numKeyValueHeads: 2, headDim: 16, freqFold: 4, collapse: 2 },
  { numKeyValueHeads: 3, headDim: 64, freqFold: 8, collapse: 2 },
  { numKeyValueHeads: 2, headDim: 24, freqFold: 12, collapse: 3 },
  { numKeyValueHeads: 2, headDim: 16, freqFold: 2, collapse: 1 },
  { numKeyValueHeads: 3, headDim: 8, freqFold: 4, collapse: 4 },
];

Deno.test("realSlots() and componentRow() equal the loops that define them", () => {
  for (const fold of FOLDS) {
    const { numKeyValueHeads: G, headDim: d, freqFold: F, collapse: C } = fold;
    const A = F / C;
    const I = d / (2 * F);
    // Flat order of the rotated key: (c, head, i, a, re/im).
    const rowOf = new Map<string, number>();
    let row = 0;
    for (let c = 0; c < C; c++) {
      for (let head = 0; head < G; head++) {
        for (let i = 0; i < I; i++) {
          for (let a = 0; a < A; a++) {
            rowOf.set([c, head, i, a].join(), row);
            row += 2;
          }
        }
      }
    }
    assertEquals(row, G * d);
    for (let i = 0; i < I; i++) {
      const slots = realSlots(fold, i);
      let position = 0;
      for (let c = 0; c < C; c++) {
        for (let head = 0; head < G; head++) {
          for (let a = 0; a < A; a++) {
            assertEquals(slots[position], head * d + i * F + a * C + c);
            assertEquals(
              componentRow(fold, i, position),
              rowOf.get([c, head, i, a].join()),
            );
            position++;
          }
        }
      }
      assertEquals(slots.length, position);
    }
  }
});

Deno.test("realSlots() of all groups cover the first half of every head once", () => {
  for (const fold of FOLDS) {
    const { numKeyValueHeads, headDim } = fold;
    const dims = Array.from({ length: groupCount(fold) }, (_, i) => i)
      .flatMap((group) => [...realSlots(fold, group)]).sort((a, b) => a - b);
    const expected = Array.from({ length: numKeyValueHeads }, (_, head) => head)
      .flatMap((head) =>
        Array.from({ length: headDim / 2 }, (_, j) => head * headDim + j)
      );
    assertEquals(dims, expected);
  }
});

Deno.test("componentRow() puts the strongest F/C components of each group first", () => {
  for (const fold of FOLDS) {
    const { headDim, freqFold, collapse } = fold;
    const rows: number[] = [];
    for (let group = 0; group < groupCount(fold); group++) {
      for (let p = 0; p < freqFold / collapse; p++) {
        rows.push(componentRow(fold, group, p));
      }
    }
    const m = headDim / collapse;
    assertEquals(
      rows.sort((a, b) => a - b),
      Array.from({ length: m / 2 }, (_, n) => 2 * n),
    );
  }
});

Deno.test("retainedFrequencies() keeps every C-th", () => {
  const fold = { numKeyValueHeads: 2, headDim: 16, freqFold: 4, collapse: 2 };
  const frequencies = Float64Array.from({ length: 8 }, (_, j) => 10 ** -j);
  assertEquals([...retainedFrequencies(frequencies, fold)], [
    1,
    1e-2,
    1e-4,
    1e-6,
  ]);
});

Deno.test("freqFoldOf() names the value and those allowed", () => {
  const sizes = { numKeyValueHeads: 3, headDim: 64 };
  assertEquals(freqFoldOf(4, 32, sizes).collapse, 2);
  assertThrows(
    () => freqFoldOf(3, 64, sizes),
    RangeError,
    "Cannot convert with freqFold 3 as it must divide headDim/2 = 32: 1, 2, 4, 8, 16, 32",
  );
  assertThrows(
    () => freqFoldOf(1, 32, sizes, "layer 3"),
    RangeError,
    "Cannot convert layer 3 with freqFold 1 as headDim/qkRopeHeadDim = 2 must divide it: 2, 4, 8, 16, 32",
  );
  for (const m of [0, 1, 7, 48, 128, 2.5]) {
    assertThrows(
      () => freqFoldOf(1, m, sizes),
      RangeError,
      `qkRopeHeadDim ${m} as it must be an even divisor of headDim 64: 2, 4, 8, 16, 32, 64`,
    );
  }
  assertThrows(() => freqFoldOf(0, 64, sizes), RangeError, "freqFold 0");
  assertThrows(() => freqFoldOf(64, 64, sizes), RangeError, "freqFold 64");
});
