// Calibration: each layer's normed input, its Gram matrix and, where asked for,
// sums of its attention weights.

import type { MomentsSink } from "../../../model/moments.ts";
import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import { attentionSums } from "../kernels/attention_sums.ts";
import { gram } from "../kernels/gram.ts";
import type { GpuModel } from "./gpu_model.ts";
import { allocateScratchCache } from "./kv_cache.ts";
import { type LayerWork, type PassPlan, recordPass } from "./pass_plan.ts";
import { concatenated, layOut, uploadLayout } from "./row_layout.ts";

/** What a pass of calibration is asked for. */
export interface MomentsRequest {
  readonly sequences: readonly Int32Array[];
  /** w_t of all rows, where they are not 1. */
  readonly weights?: Float32Array;
}

/**
 * Runs sequences through the layers and delivers what each layer's input holds.
 *
 * @param gpu Runs it.
 * @param model The model.
 * @param request Whole sequences of one pass.
 * @param sink Takes the moments.
 */
export async function runMoments(
  gpu: Gpu,
  model: GpuModel,
  request: MomentsRequest,
  sink: MomentsSink,
): Promise<void> {
  const arena = gpu.arena();
  try {
    const spans = request.sequences.map(({ length }) => ({ past: 0, length }));
    const layout = uploadLayout(arena, layOut(spans));
    const forms = model.layers.map(({ form }) => form);
    const cache = allocateScratchCache(
      arena,
      forms,
      spans.length,
      layout.longest,
      model.cacheElement,
    );
    const heads = Math.max(...forms.map((form) => form.heads));
    const lse = sink.attention === undefined
      ? undefined
      : arena.buffer("lse", layout.rows * heads * 4);
    const pass = recordPass(arena, model, layout, {
      cache,
      firstSequence: 0,
      ...(lse === undefined ? {} : { lse }),
    });
    gpu.write(pass.tokens, 0, concatenated(request.sequences));
    gpu.run(pass.embed);
    await deliver(gpu, arena, model, pass, request, sink, lse);
  } finally {
    arena.destroy();
  }
}

async function deliver(
  gpu: Gpu,
  arena: Arena,
  model: GpuModel,
  pass: PassPlan,
  request: MomentsRequest,
  sink: MomentsSink,
  lse: GPUBuffer | undefined,
): Promise<void> {
  const D = model.hiddenSize;
  const { rows, longest } = pass.layout;
  const size = (D + 1) ** 2;
  const sums = arena.buffer("gram", size * 4);
  const weights = request.weights === undefined
    ? undefined
    : arena.upload("token weights", request.weights);
  const gramOf = gram(arena, {
    x: pass.y,
    rows,
    width: D,
    ...(weights === undefined ? {} : { weights }),
    out: sums,
    accumulate: false,
  });
  const hidden = arena.buffer("hidden", rows * pass.y.stride * 4);
  const received = arena.buffer("received", rows * 4);
  const byDistance = arena.buffer("mass by distance", longest * 4);
  for (const [index, layer] of pass.layers.entries()) {
    gpu.run([
      ...layer.input,
      ...gramOf,
      {
        copy: {
          from: pass.y.buffer,
          fromOffset: 0,
          to: hidden,
          toOffset: 0,
          bytes: rows * pass.y.stride * 4,
        },
      },
      ...layer.attention,
      ...lse === undefined
        ? []
        : recordSums(arena, pass, layer, { lse, received, byDistance }),
      ...layer.mlp,
    ]);
    const floats = async (buffer: GPUBuffer, length: number) =>
      new Float32Array(await gpu.read(buffer, 0, length * 4));
    sink.add(
      index,
      Float64Array.from(await floats(sums, size)),
      unpadded(await floats(hidden, rows * pass.y.stride), rows, D),
    );
    sink.attention?.(index, {
      received: Float64Array.from(await floats(received, rows)),
      massByDistance: Float64Array.from(await floats(byDistance, longest)),
    });
  }
}

function recordSums(
  arena: Arena,
  pass: PassPlan,
  layer: LayerWork,
  { lse, received, byDistance }: {
    readonly lse: GPUBuffer;
    readonly received: GPUBuffer;
    readonly byDistance: GPUBuffer;
  },
): Dispatch[] {
  const { layout } = pass;
  return attentionSums(arena, {
    ...layer.attentionInputs,
    lse,
    tiles: layout.tiles,
    tileCount: layout.tileCount,
    tileRows: layout.tileRows,
    rows: layout.rows,
    distances: layout.longest,
    received,
    massByDistance: byDistance,
    scores: layout.scores,
  });
}

/** Rows without their padding. */
function unpadded(
  data: Float32Array,
  rows: number,
  width: number,
): Float32Array {
  const stride = data.length / rows;
  if (stride === width) return data;
  const packed = new Float32Array(rows * width);
  for (let i = 0; i < rows; i++) {
    packed.set(data.subarray(i * stride, i * stride + width), i * width);
  }
  return packed;
}
