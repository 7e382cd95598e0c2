// A decoder on the device.

import type { DecoderModel, Rotary } from "../../../model/decoder.ts";
import { checkLayerShapes } from "../../../model/layer_shapes.ts";
import { rotaryTable } from "../../../model/rope.ts";
import type { Arena } from "../device/gpu.ts";
import type { Element, GpuMatrix } from "../kernels/kernel.ts";
import { type GpuLayer, uploadLayer } from "./layer_weights.ts";
import { rowsOf, uploadMatrix } from "./matrix_upload.ts";

/** Angles of all positions on the device. */
export interface GpuRotaryTable {
  /** f32 [positions, pairs] */
  readonly cos: GPUBuffer;
  readonly sin: GPUBuffer;
  readonly pairs: number;
}

/** Everything a session runs on. */
export interface GpuModel {
  readonly arena: Arena;
  /** D */
  readonly hiddenSize: number;
  /** V */
  readonly vocabSize: number;
  readonly rmsNormEps: number;
  /** Of weights. */
  readonly element: Element;
  /** Of the KV cache. */
  readonly cacheElement: Element;
  readonly embedTokens: GpuMatrix;
  readonly layers: readonly GpuLayer[];
  readonly finalNorm: GPUBuffer;
  readonly lmHead: GpuMatrix;
  /** Angles of positions 0 to at least positions-1. */
  rotaryTable(rotary: Rotary, positions: number): GpuRotaryTable;
  /** Makes tables anew when they are next asked for: after a fault they may not be there. */
  forgetTables(): void;
}

/**
 * Uploads a model, a layer at a time.
 *
 * @param arena Owns everything; destroyed by the caller, also where this throws.
 * @param model The model.
 * @param element How weights are stored.
 * @param cacheElement How cached numbers are stored.
 * @throws {ShapeError} If a weight's shape contradicts its layer's sizes.
 */
export async function uploadModel(
  arena: Arena,
  model: DecoderModel,
  element: Element,
  cacheElement: Element,
): Promise<GpuModel> {
  const { numHiddenLayers, hiddenSize, rmsNormEps } = model.config;
  const layers: GpuLayer[] = [];
  for (let i = 0; i < numHiddenLayers; i++) {
    const layer = await model.layer(i);
    checkLayerShapes(layer, i, hiddenSize);
    layers.push(uploadLayer(arena, layer, i, element));
    // Staging memory is freed, and a fault thrown, before many more layers come.
    if (i % 8 === 7) await arena.gpu.settle();
  }
  const embedding = await model.embedTokens();
  const head = await model.lmHead();
  const embedTokens = uploadMatrix(
    arena,
    "embedTokens",
    [rowsOf(embedding)],
    element,
  );
  const tables = new Map<
    string,
    { positions: number; table: GpuRotaryTable }
  >();
  return {
    arena,
    hiddenSize,
    vocabSize: embedding.shape[0]!,
    rmsNormEps,
    element,
    cacheElement,
    embedTokens,
    layers,
    finalNorm: arena.upload("finalNorm", (await model.finalNorm()).data),
    lmHead: head === embedding
      ? embedTokens
      : uploadMatrix(arena, "lmHead", [rowsOf(head)], element),
    rotaryTable({ frequencies }, positions) {
      const key = frequencies.join();
      const known = tables.get(key);
      if (known !== undefined && known.positions >= positions) {
        return known.table;
      }
      // Doubled, so that growing contexts do not make a table each.
      const size = Math.max(positions, 2 * (known?.positions ?? 0));
      const { cos, sin } = rotaryTable(frequencies, 0, size);
      const table = {
        cos: arena.upload("rotary cos", nonEmpty(cos)),
        sin: arena.upload("rotary sin", nonEmpty(sin)),
        pairs: frequencies.length,
      };
      tables.set(key, { positions: size, table });
      return table;
    },
    forgetTables: () => tables.clear(),
  };
}

/** f32 of the angles; one zero where there are none, since a binding needs bytes. */
function nonEmpty(values: Float64Array): Float32Array {
  return values.length === 0 ? new Float32Array(1) : Float32Array.from(values);
}
