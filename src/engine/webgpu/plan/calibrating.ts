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

/** Query rows of a tile of attention: the order of its sums of weights hangs on it. */
const TILE_ROWS = 64;

/** What a pass of calibration is asked for. */
export interface MomentsRequest {
  /** Whole sequences of one pass. */
  readonly sequences: readonly Int32Array[];
  /** w_t of all rows, where they are not 1. */
  readonly weights?: Float32Array;
}

/** A recorded pass over sequences of certain lengths. */
interface Recorded {
  readonly key: string;
  readonly arena: Arena;
  readonly pass: PassPlan;
  readonly gram: readonly Dispatch[];
  /** f32 [(D+1)·(D+1)] */
  readonly sums: GPUBuffer;
  /** y of the layer at hand, kept from the rest of its layer. */
  readonly hidden: GPUBuffer;
  readonly weights: GPUBuffer | undefined;
  readonly attention: AttentionBuffers | undefined;
}

interface AttentionBuffers {
  /** f32 [R, most heads] */
  readonly lse: GPUBuffer;
  /** f32 [R] */
  readonly received: GPUBuffer;
  /** f32 [longest] */
  readonly byDistance: GPUBuffer;
}

/** Collects moments with one model, keeping the recorded plan of the latest shape. */
export class Calibrating {
  readonly #gpu: Gpu;
  readonly #model: GpuModel;
  #recorded: Recorded | undefined;

  constructor(gpu: Gpu, model: GpuModel) {
    this.#gpu = gpu;
    this.#model = model;
  }

  /**
   * Runs sequences through the layers and delivers what each layer's input holds.
   *
   * @param request What to run.
   * @param sink Takes the moments.
   */
  async run(request: MomentsRequest, sink: MomentsSink): Promise<void> {
    const gpu = this.#gpu;
    const D = this.#model.hiddenSize;
    const recorded = this.#record(request, sink.attention !== undefined);
    const { pass, sums, hidden, attention } = recorded;
    const { rows, longest } = pass.layout;
    const hiddenBytes = rows * pass.y.stride * 4;
    gpu.write(pass.tokens, 0, concatenated(request.sequences));
    if (recorded.weights !== undefined) {
      gpu.write(recorded.weights, 0, request.weights!);
    }
    gpu.run(pass.embed);
    const floats = async (buffer: GPUBuffer, length: number) =>
      new Float32Array(await gpu.read(buffer, 0, length * 4));
    for (const [index, layer] of pass.layers.entries()) {
      gpu.run([
        ...layer.input,
        ...recorded.gram,
        {
          copy: {
            from: pass.y.buffer,
            fromOffset: 0,
            to: hidden,
            toOffset: 0,
            bytes: hiddenBytes,
          },
        },
        ...layer.attention,
        ...layer.mlp,
      ]);
      sink.add(
        index,
        new Float64Array(await floats(sums, (D + 1) ** 2)),
        unpadded(await floats(hidden, hiddenBytes / 4), rows, D),
      );
      if (attention === undefined) continue;
      // Partial sums are large: no longer there than one layer needs them.
      const own = gpu.arena();
      try {
        gpu.run(recordSums(own, pass, layer, attention));
        sink.attention?.(index, {
          received: new Float64Array(await floats(attention.received, rows)),
          massByDistance: new Float64Array(
            await floats(attention.byDistance, longest),
          ),
        });
      } finally {
        own.destroy();
      }
    }
  }

  /** Releases the recorded plan. */
  close(): void {
    this.#recorded?.arena.destroy();
    this.#recorded = undefined;
  }

  #record(
    { sequences, weights }: MomentsRequest,
    withAttention: boolean,
  ): Recorded {
    const lengths = sequences.map(({ length }) => length);
    const key = JSON.stringify([lengths, weights !== undefined, withAttention]);
    if (this.#recorded?.key === key) return this.#recorded;
    this.close();
    const arena = this.#gpu.arena();
    try {
      return this.#recorded = {
        key,
        arena,
        ...recordMoments(arena, this.#model, lengths, {
          weighted: weights !== undefined,
          withAttention,
        }),
      };
    } catch (error) {
      arena.destroy();
      throw error;
    }
  }
}

function recordMoments(
  arena: Arena,
  model: GpuModel,
  lengths: readonly number[],
  { weighted, withAttention }: {
    readonly weighted: boolean;
    readonly withAttention: boolean;
  },
): Omit<Recorded, "key" | "arena"> {
  const spans = lengths.map((length) => ({ past: 0, length }));
  const layout = uploadLayout(arena, layOut(spans, TILE_ROWS, "rows"));
  const { rows, longest } = layout;
  const heads = Math.max(...model.layers.map(({ form }) => form.heads));
  const lse = withAttention ? arena.buffer("lse", rows * heads * 4) : undefined;
  const pass = recordPass(arena, model, layout, {
    cache: allocateScratchCache(arena, model, spans.length, longest),
    firstSequence: 0,
    exact: true,
    ...(lse === undefined ? {} : { lse }),
  });
  const width = model.hiddenSize;
  const sums = arena.buffer("gram", (width + 1) ** 2 * 4);
  const weights = weighted
    ? arena.buffer("token weights", rows * 4)
    : undefined;
  return {
    pass,
    sums,
    weights,
    gram: gram(arena, {
      x: pass.y,
      rows,
      width,
      ...(weights === undefined ? {} : { weights }),
      out: sums,
      accumulate: false,
    }),
    hidden: arena.buffer("hidden", rows * pass.y.stride * 4),
    attention: lse === undefined ? undefined : {
      lse,
      received: arena.buffer("received", rows * 4),
      byDistance: arena.buffer("mass by distance", longest * 4),
    },
  };
}

function recordSums(
  arena: Arena,
  pass: PassPlan,
  layer: LayerWork,
  { lse, received, byDistance }: AttentionBuffers,
): Dispatch[] {
  const { layout } = pass;
  return attentionSums(arena, {
    ...layer.attentionViews,
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
