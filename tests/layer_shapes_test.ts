import { assertThrows } from "@std/assert";
import { ShapeError } from "../src/base/errors.ts";
import { type Tensor, tensor } from "../src/base/tensor.ts";
import type { DecoderLayer } from "../src/model/decoder.ts";
import { checkLayerShapes } from "../src/model/layer_shapes.ts";
import { tinyKindsModel } from "./fixtures/tiny_kinds.ts";

const KINDS = ["gqa", "partialRope", "mla"] as const;
const HIDDEN_SIZE = 40;

function withRow({ shape, data }: Tensor): Tensor {
  const rest = shape.slice(1);
  const row = rest.reduce((product, axis) => product * axis, 1);
  return tensor(new Float32Array(data.length + row), [shape[0]! + 1, ...rest]);
}

function isTensor(value: unknown): value is Tensor {
  return value instanceof Object && "data" in value && "shape" in value;
}

/** A copy for each tensor of a tree, with one row more in that tensor. */
function* mutations<T extends object>(
  tree: T,
  path = "",
): Generator<[string, T]> {
  for (const [key, value] of Object.entries(tree)) {
    if (!(value instanceof Object) || ArrayBuffer.isView(value)) continue;
    const name = path === "" ? key : `${path}.${key}`;
    if (isTensor(value)) yield [name, { ...tree, [key]: withRow(value) }];
    else {
      for (const [inner, changed] of mutations(value, name)) {
        yield [inner, { ...tree, [key]: changed }];
      }
    }
  }
}

for (const [l, kind] of KINDS.entries()) {
  Deno.test(`checkLayerShapes() finds every tensor of ${kind} that has a row too many`, async () => {
    const model = await tinyKindsModel({
      seed: 3,
      bias: "everywhere",
      hiddenSize: HIDDEN_SIZE,
      kinds: KINDS,
    });
    const layer: DecoderLayer = await model.layer(l);
    checkLayerShapes(layer, l, HIDDEN_SIZE);
    let tensors = 0;
    for (const [name, changed] of mutations(layer)) {
      tensors++;
      // The MLP's width is gateProj's own, so others contradict it.
      const blamed = name === "mlp.gateProj.weight" ? "mlp." : name;
      assertThrows(
        () => checkLayerShapes(changed, l, HIDDEN_SIZE),
        ShapeError,
        `Cannot use layer ${l} as ${blamed}`,
      );
    }
    if (tensors < 14) throw new Error(`Only ${tensors} tensors were tried`);
  });

  Deno.test(`checkLayerShapes() finds a missing rotary frequency of ${kind}`, async () => {
    const model = await tinyKindsModel({ seed: 3, kinds: KINDS });
    const layer = await model.layer(l);
    const { attention } = layer;
    const frequencies = attention.rotary.frequencies.slice(1);
    const rotary = { ...attention.rotary, frequencies };
    assertThrows(
      () =>
        checkLayerShapes(
          { ...layer, attention: { ...attention, rotary } },
          l,
          64,
        ),
      ShapeError,
      `Cannot use layer ${l} as attention.rotary must have`,
    );
  });
}
