import { assertThrows } from "@std/assert";
import { checkTokenWeights } from "./token_weights.ts";

const TOKENS = [new Int32Array(3), new Int32Array(2)];

Deno.test("checkTokenWeights() accepts one finite weight a token", () => {
  checkTokenWeights(TOKENS, [Float32Array.of(0, 1, 2.5), new Float32Array(2)]);
  checkTokenWeights([], []);
});

Deno.test("checkTokenWeights() names what does not fit", () => {
  for (
    const [weights, message] of [
      [[[1, 1, 1]], "for each of 2 sequences: current value is 1"],
      [[[1, 1, 1], [1]], "sequence 1 must have 2 weights: current value is 1"],
      [[[1, -1, 1], [1, 1]], "must be finite and >= 0: current value is -1"],
      [[[1, 1, 1], [1, NaN]], "current value is NaN"],
      [[[1, 1, Infinity], [1, 1]], "current value is Infinity"],
    ] as const
  ) {
    assertThrows(
      () => checkTokenWeights(TOKENS, weights.map((w) => Float32Array.from(w))),
      RangeError,
      message,
    );
  }
});
