// Which form of decode attention a device takes for a layer, and in how many shares.

import type { Gpu } from "../device/gpu.ts";
import type { AttentionDecodeArgs } from "./attention_decode.ts";
import { fitsTileDecode } from "./attention_decode_tile.ts";
import type { MatrixDecodeShape } from "./attention_matrix_layout.ts";
import { matrixDecodeShape } from "./attention_matrix_tuning.ts";
import { tileDecode, type TileDecodeShape } from "./tile_decode_tuning.ts";
import { type AttentionSize, attentionSplits } from "./tuning.ts";

/** What decides the form. */
export type DecodeFormSize =
  & Pick<AttentionSize, "kind" | "batch" | "capacity">
  & Pick<
    AttentionDecodeArgs,
    | "heads"
    | "keyGroups"
    | "valueGroups"
    | "first"
    | "second"
    | "firstWidth"
    | "secondWidth"
    | "valueFrom"
    | "valueWidth"
  >;

/** What attentionDecode() takes of it; without a shape it is by lanes, or plain. */
export interface DecodeForm {
  readonly splits: number;
  readonly matrix?: MatrixDecodeShape;
  readonly tile?: TileDecodeShape;
}

/**
 * The form of decode attention for a layer: by subgroup matrices where the device
 * has them, by tiles where heads are many, else by lanes.
 *
 * @param gpu The device.
 * @param size The batch and the layer.
 */
export function decodeForm(gpu: Gpu, size: DecodeFormSize): DecodeForm {
  const { first, second } = size;
  const elements = [first.element, second.element];
  const matrix = matrixDecodeShape(gpu, { ...size, elements });
  if (matrix !== undefined) return { splits: matrix.splits, matrix };
  const tile = tileDecode(gpu, size);
  if (tile !== undefined && fitsTileDecode(gpu, size, tile)) {
    return { splits: tile.splits, tile };
  }
  const groups = size.keyGroups;
  return { splits: attentionSplits(gpu, { ...size, groups }) };
}
