// The door between whoever makes layers (checkpoints, conversions) and whoever
// runs them: a tensor of a wrong shape would otherwise read as NaN or zeros.

import { ShapeError } from "../base/errors.ts";
import { elementsOf, type Tensor } from "../base/tensor.ts";
import type { Attention, DecoderLayer, Linear } from "./decoder.ts";

/**
 * Checks that a layer's tensors and rotary frequencies have the shapes that decoder.ts states.
 *
 * @param layer The layer.
 * @param index Its index, for messages.
 * @param hiddenSize D.
 * @throws {ShapeError} If one has another shape.
 */
export function checkLayerShapes(
  layer: DecoderLayer,
  index: number,
  hiddenSize: number,
): void {
  const { mlp } = layer;
  const intermediateSize = mlp.gateProj.weight.shape[0] ?? 0;
  const expected: readonly Expectation[] = [
    ["inputNorm", layer.inputNorm, [hiddenSize]],
    ["postAttentionNorm", layer.postAttentionNorm, [hiddenSize]],
    ...linear("mlp.gateProj", mlp.gateProj, intermediateSize, hiddenSize),
    ...linear("mlp.upProj", mlp.upProj, intermediateSize, hiddenSize),
    ...linear("mlp.downProj", mlp.downProj, hiddenSize, intermediateSize),
    ...attentionShapes(layer.attention, hiddenSize),
  ];
  for (const [name, found, wanted] of expected) {
    const { shape } = found;
    // A seeded tensor has what its shape says, and its numbers are not made here.
    const length = found.seeded === undefined
      ? found.data.length
      : elementsOf(found);
    if (
      shape.join() !== wanted.join() || length !== elementsOf({ shape: wanted })
    ) {
      throw new ShapeError(
        `Cannot use layer ${index} as ${name} must have shape [${wanted}]: current shape is [${shape}] with ${length} elements`,
      );
    }
  }
  const pairs = rotaryWidth(layer.attention) / 2;
  const found = layer.attention.rotary.frequencies.length;
  if (found !== pairs) {
    throw new ShapeError(
      `Cannot use layer ${index} as attention.rotary must have ${pairs} frequencies, half its rotary dims: current number is ${found}`,
    );
  }
}

type Expectation = readonly [
  name: string,
  found: Tensor,
  shape: readonly number[],
];

function linear(
  name: string,
  { weight, bias }: Linear,
  out: number,
  into: number,
): readonly Expectation[] {
  const expected: Expectation[] = [[`${name}.weight`, weight, [out, into]]];
  if (bias !== undefined) expected.push([`${name}.bias`, bias, [out]]);
  return expected;
}

function rotaryWidth(attention: Attention): number {
  return attention.kind === "gqa" ? attention.headDim : attention.qkRopeHeadDim;
}

function attentionShapes(a: Attention, D: number): readonly Expectation[] {
  const H = a.numAttentionHeads;
  const G = a.numKeyValueHeads;
  switch (a.kind) {
    case "gqa":
    case "partialRope": {
      const d = a.headDim;
      const basis: readonly Expectation[] = a.kind === "partialRope"
        ? [["attention.keyBasis", a.keyBasis, [G * d, G * d]]]
        : [];
      return [
        ...linear("attention.qProj", a.qProj, H * d, D),
        ...linear("attention.kProj", a.kProj, G * d, D),
        ...linear("attention.vProj", a.vProj, G * d, D),
        ...linear("attention.oProj", a.oProj, D, H * d),
        ...basis,
      ];
    }
    case "mla": {
      const { qkNopeHeadDim: n, qkRopeHeadDim: m, vHeadDim: v } = a;
      const r = a.kvLoraRank;
      return [
        ...linear("attention.qProj", a.qProj, H * (n + m), D),
        ...linear("attention.kvAProjWithMqa", a.kvAProjWithMqa, r + m, D),
        ["attention.kvBProj", a.kvBProj, [G * (n + v), r]],
        ...linear("attention.oProj", a.oProj, D, H * v),
      ];
    }
    default:
      return a satisfies never;
  }
}
