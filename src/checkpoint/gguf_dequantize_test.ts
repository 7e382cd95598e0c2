import { assertEquals, assertThrows } from "@std/assert";
import {
  blockSize,
  dequantize,
  GGUF_TENSOR_TYPES,
  type GgufTensorType,
  isGgufTensorType,
} from "./gguf_dequantize.ts";
import golden from "./testdata/gguf_blocks.json" with { type: "json" };

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

const GOLDEN: Readonly<Record<string, { blocks: string; expected: string }>> =
  golden;

for (const type of GGUF_TENSOR_TYPES.filter((type) => type !== "F32")) {
  Deno.test(`dequantize() of ${type} equals the Python package's weights bit by bit`, () => {
    const { blocks, expected } = GOLDEN[type]!;
    const weights = dequantize(fromBase64(blocks), type);
    assertEquals(
      weights,
      new Float32Array(fromBase64(expected).buffer as ArrayBuffer),
    );
  });
}

/** A block with f16 numbers at its start and bytes after them. */
function block(halves: number[], bytes: ArrayLike<number>): Uint8Array {
  const block = new Uint8Array(2 * halves.length + bytes.length);
  block.set(new Uint8Array(Float16Array.from(halves).buffer));
  block.set(bytes, 2 * halves.length);
  return block;
}

const ramp16 = Array.from({ length: 16 }, (_, j) => j | (15 - j) << 4);
const range = (n: number, weight: (j: number) => number) =>
  Float32Array.from({ length: n }, (_, j) => weight(j));

Deno.test("dequantize() of Q4_0 takes 8 from each nibble, low nibbles first", () => {
  assertEquals(
    dequantize(block([0.5], ramp16), "Q4_0"),
    range(32, (j) => 0.5 * ((j < 16 ? j : 31 - j) - 8)),
  );
});

Deno.test("dequantize() of Q4_1 adds the minimum", () => {
  assertEquals(
    dequantize(block([0.5, -3], ramp16), "Q4_1"),
    range(32, (j) => 0.5 * (j < 16 ? j : 31 - j) - 3),
  );
});

Deno.test("dequantize() of Q5_0 takes the fifth bit of weight j from bit j", () => {
  const high = [0b1, 0, 0, 0b1000_0000];
  assertEquals(
    dequantize(block([1], [...high, ...ramp16]), "Q5_0"),
    range(
      32,
      (j) => (j < 16 ? j : 31 - j) + (j === 0 || j === 31 ? 16 : 0) - 16,
    ),
  );
});

Deno.test("dequantize() of Q8_0 reads signed bytes", () => {
  const bytes = Array.from({ length: 32 }, (_, j) => (j * 8 - 128) & 255);
  assertEquals(
    dequantize(block([0.25], bytes), "Q8_0"),
    range(32, (j) => 0.25 * (j * 8 - 128)),
  );
});

Deno.test("dequantize() of Q4_K uses six-bit scales and minimums of 8 sub-blocks", () => {
  // Sub-blocks 0-3: scale j + 1, minimum 10 + j; 4-7: scale 33 + j, minimum 20 + j.
  const scales = [1, 2, 3, 4].map((low, j) => low | (33 + j + 4) >> 4 << 6);
  const mins = [10, 11, 12, 13].map((low, j) => low | (20 + j + 4) >> 4 << 6);
  const rest = [4, 5, 6, 7].map((j) => (33 + j) & 15 | ((20 + j) & 15) << 4);
  const quants = new Array(128).fill(0x53);
  assertEquals(
    dequantize(
      block([0.5, 0.25], [...scales, ...mins, ...rest, ...quants]),
      "Q4_K",
    ),
    range(256, (at) => {
      const j = at >> 5;
      const [scale, min] = j < 4 ? [j + 1, 10 + j] : [33 + j, 20 + j];
      return 0.5 * scale * (j % 2 === 0 ? 3 : 5) - 0.25 * min;
    }),
  );
});

Deno.test("dequantize() refuses bytes that are not whole blocks", () => {
  for (const type of GGUF_TENSOR_TYPES) {
    const { bytes } = blockSize(type);
    assertThrows(
      () => dequantize(new Uint8Array(bytes + 1), type),
      RangeError,
      "multiple",
    );
  }
});

Deno.test("isGgufTensorType() does not take inherited names for types", () => {
  assertEquals(isGgufTensorType("Q4_1" satisfies GgufTensorType), true);
  assertEquals(isGgufTensorType("IQ2_XS"), false);
  assertEquals(isGgufTensorType("constructor"), false);
});
