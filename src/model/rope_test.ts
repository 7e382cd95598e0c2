import { assertEquals, assertThrows } from "@std/assert";
import { assertClose } from "../../tests/fixtures/assert_close.ts";
import type { ModelConfig } from "./config.ts";
import type { Rotary } from "./decoder.ts";
import { ropeFrequencies, rotaryTable, rotate, rotateByTable } from "./rope.ts";

const CONFIG: ModelConfig = {
  modelType: "llama",
  vocabSize: 8,
  hiddenSize: 16,
  intermediateSize: 16,
  numHiddenLayers: 1,
  numAttentionHeads: 1,
  numKeyValueHeads: 1,
  headDim: 16,
  maxPositionEmbeddings: 64,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  tieWordEmbeddings: false,
  attentionBias: false,
};

/** Multiplies (a + ib) by e^(i angle) in polar form. */
function turned(a: number, b: number, angle: number): [number, number] {
  const radius = Math.hypot(a, b);
  const phase = Math.atan2(b, a) + angle;
  return [radius * Math.cos(phase), radius * Math.sin(phase)];
}

function ramp(length: number): Float64Array {
  return Float64Array.from({ length }, (_, i) => Math.sin(3 * i + 1) + 0.2);
}

Deno.test("ropeFrequencies() falls geometrically from 1", () => {
  const expected = [1, 0.1, 0.01, 0.001];
  assertClose(ropeFrequencies({ ...CONFIG, headDim: 8 }), expected, {
    atol: 1e-15,
    what: "frequencies of base 10000, d 8",
  });
});

Deno.test("ropeFrequencies() rejects an odd headDim", () => {
  assertThrows(
    () => ropeFrequencies({ ...CONFIG, headDim: 7 }),
    RangeError,
    "current value is 7",
  );
});

Deno.test("ropeFrequencies() scales as llama3 does, by wavelength", () => {
  const config: ModelConfig = {
    ...CONFIG,
    headDim: 64,
    ropeTheta: 500000,
    ropeScaling: {
      type: "llama3",
      factor: 32,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositionEmbeddings: 8192,
    },
  };
  const kinds = { short: 0, middle: 0, long: 0 };
  const expected = Array.from({ length: 32 }, (_, n) => {
    const plain = Math.exp(-Math.log(500000) * n / 32);
    const wavelength = 2 * Math.PI / plain;
    if (wavelength < 8192 / 4) {
      kinds.short++;
      return plain;
    }
    if (wavelength > 8192) {
      kinds.long++;
      return plain / 32;
    }
    kinds.middle++;
    const smooth = (8192 / wavelength - 1) / 3;
    return plain * ((1 - smooth) / 32 + smooth);
  });
  assertEquals(Math.min(kinds.short, kinds.middle, kinds.long) > 0, true);
  assertClose(ropeFrequencies(config), expected, {
    atol: 0,
    rtol: 1e-12,
    what: "llama3 frequencies",
  });
});

for (const layout of ["half", "interleaved"] as const) {
  Deno.test(`rotate() turns each pair of the ${layout} layout as a complex number`, () => {
    const frequencies = Float64Array.of(1, 0.3, 0, 0.01);
    const rotary: Rotary = { layout, frequencies };
    const before = ramp(10);
    const after = before.slice();
    rotate(after, 1, rotary, 5);
    const expected = before.slice();
    for (let n = 0; n < 4; n++) {
      const re = layout === "half" ? 1 + n : 1 + 2 * n;
      const im = layout === "half" ? 5 + n : 2 + 2 * n;
      const [a, b] = turned(before[re]!, before[im]!, 5 * frequencies[n]!);
      expected[re] = a;
      expected[im] = b;
    }
    assertClose(after, expected, { atol: 1e-14, what: "rotated" });
    assertEquals([after[0], after[9]], [before[0], before[9]]);
  });

  Deno.test(`rotateByTable() equals rotate() in the ${layout} layout`, () => {
    const frequencies = Float64Array.of(1, 0.3, 0.07);
    const table = rotaryTable(frequencies, 11, 4);
    for (let row = 0; row < 4; row++) {
      const expected = ramp(8);
      const actual = ramp(8);
      rotate(expected, 2, { layout, frequencies }, 11 + row);
      rotateByTable(actual, 2, layout, table, row);
      assertEquals(actual, expected);
    }
  });
}
