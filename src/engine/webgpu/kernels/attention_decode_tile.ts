// Decode attention in latent space by blocks of heads and tokens, for devices with
// subgroups and without subgroup matrices: which shapes fit, and the dispatch.

import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import type { AttentionDecodeArgs } from "./attention_decode.ts";
import {
  type Binding,
  dispatchOf,
  type KernelUse,
  readWgsl,
  type View,
} from "./kernel.ts";
import { isAligned } from "./row_access.ts";
import type { TileDecodeShape } from "./tile_decode_tuning.ts";

const SOURCE = readWgsl("attention_decode_tile.wgsl", import.meta.url);

/** Heads of a subgroup. */
const OWN_HEADS = 4;

/** Vectors of four numbers of the queries and the output that a thread has registers for. */
const MOST_VECTORS = 36;

/** What decides whether a shape fits. */
export type TileDecodeSizes = Pick<
  AttentionDecodeArgs,
  | "keyGroups"
  | "valueGroups"
  | "first"
  | "second"
  | "firstWidth"
  | "secondWidth"
  | "valueFrom"
  | "valueWidth"
>;

/** Work along each side of a tile. */
interface Layout {
  /** Vectors of four columns in a load. */
  readonly vectors: number;
  /** Loads of a row, and of a lane. */
  readonly units: number;
  readonly laneUnits: number;
  readonly lanePairs: number;
  /** Lanes of a subgroup, and those that share a head. */
  readonly lanes: number;
  readonly round: number;
  readonly subgroups: number;
  /** Heads of a thread's output, and its loads of a row. */
  readonly outHeads: number;
  readonly outUnits: number;
  /** Whether f16 becomes f32 on the way to workgroup memory. */
  readonly widened: boolean;
  /** Whether f16 is multiplied as such. */
  readonly halves: boolean;
  /** Of workgroup memory. */
  readonly bytes: number;
}

/**
 * Whether a device attends by tiles of a shape.
 *
 * @param gpu The device.
 * @param sizes Widths and views.
 * @param shape The tile.
 */
export function fitsTileDecode(
  gpu: Gpu,
  sizes: TileDecodeSizes,
  shape: TileDecodeShape,
): boolean {
  const { features, facts } = gpu;
  const { limits } = facts;
  if (!features.subgroups || facts.subgroupSize < OWN_HEADS) return false;
  if (shape.halves && !features.f16) return false;
  if (!fitsViews(sizes)) return false;
  const layout = layoutOf(facts.subgroupSize, sizes, shape);
  const { vectors, laneUnits, lanePairs, outHeads, outUnits } = layout;
  const registers = OWN_HEADS * (laneUnits * vectors + lanePairs / 2) +
    outHeads * outUnits * vectors;
  return registers <= MOST_VECTORS &&
    layout.bytes <= limits.maxComputeWorkgroupStorageSize &&
    layout.lanes * layout.subgroups <=
      limits.maxComputeInvocationsPerWorkgroup;
}

/** Whether all heads read one row, whose first part is the value, in whole loads. */
function fitsViews(sizes: TileDecodeSizes): boolean {
  const { first, second, firstWidth, secondWidth } = sizes;
  const columns = first.element === "f16" ? 8 : 4;
  return sizes.keyGroups === 1 && sizes.valueGroups === 1 &&
    sizes.valueFrom === "first" && sizes.valueWidth === firstWidth &&
    firstWidth % columns === 0 && isAligned(first, columns) &&
    (secondWidth === 0 ||
      secondWidth % 2 === 0 && isAligned(second, 2) &&
        second.element === first.element);
}

/**
 * The dispatch by tiles.
 *
 * @param arena Owns the parameters.
 * @param args As attentionDecode() takes them.
 * @param work Its bytes and operations.
 * @returns The dispatch; undefined where `args.tile` is, or does not fit.
 */
export function attentionDecodeTile(
  arena: Arena,
  args: AttentionDecodeArgs,
  work: { readonly bytes: number; readonly flops: number },
): Dispatch | undefined {
  const { tile } = args;
  if (tile === undefined || !fitsTileDecode(arena.gpu, args, tile)) {
    return undefined;
  }
  const lanes = arena.gpu.facts.subgroupSize;
  return dispatchOf(arena, tileDecodeUse(args, tile, lanes, work));
}

/** What dispatchOf() takes, for a shape that fits. */
function tileDecodeUse(
  args: AttentionDecodeArgs,
  shape: TileDecodeShape,
  lanes: number,
  work: { readonly bytes: number; readonly flops: number },
): KernelUse {
  const { query, first, second, firstWidth, secondWidth, heads } = args;
  const layout = layoutOf(lanes, args, shape);
  const { vectors, units, round, subgroups, widened, halves } = layout;
  const { outHeads } = layout;
  const isHalf = first.element === "f16";
  const element = halves ? "f16" : "f32";
  const raw = isHalf && !halves ? "vec4<u32>" : `vec4<${element}>`;
  const pairRaw = isHalf && !halves ? "u32" : `vec2<${element}>`;
  return {
    label: "attention_decode_tile",
    source: SOURCE,
    needs: ["subgroups"],
    constants: {
      SG: lanes,
      U: round,
      ROUNDS: shape.rounds,
      BUFFERS: shape.buffers,
      GROUPS: subgroups,
      ROWS: Math.ceil(shape.rounds * round / subgroups),
      SPARE_ROWS: shape.rounds * round % subgroups !== 0,
      A: firstWidth,
      B: secondWidth,
      E: vectors,
      FA: layout.laneUnits,
      FB: layout.lanePairs,
      UNITS: units,
      PAIR_UNITS: secondWidth / 2,
      PLANES: layout.laneUnits * (widened ? vectors : 1),
      TILE_TYPE: widened ? "vec4<f32>" : raw,
      PAIR_TYPE: widened ? "vec2<f32>" : pairRaw,
      PAIR_RAW: pairRaw,
      PACKED: isHalf && !widened && !halves,
      WIDENED: widened,
      HALVES: halves,
      P: element,
      // Weights are added up as they are multiplied.
      ROUND: halves ? "quantizeToF16" : "",
      VH: outHeads,
      VC: layout.outUnits,
      V4: firstWidth / 4,
      HERE: shape.buffers === 2 ? "here +" : "",
      PAST: shape.buffers === 2 ? "past +" : "",
      REDUCE: reduceAndScatter(round),
      MAX_OVER_TOKENS: butterfly(
        round,
        (mask) =>
          `new_top = max(new_top, subgroupShuffleXor(new_top, ${mask}u));`,
      ),
      SUM_OVER_TOKENS: butterfly(
        round,
        (mask) => `sum += subgroupShuffleXor(sum, ${mask}u);`,
      ),
    },
    bindings: {
      query: readOnly(query, "f32"),
      first: readOnly(first, raw),
      ...(secondWidth > 0 ? { pairs: readOnly(second, pairRaw) } : {}),
      lengths: { buffer: args.lengths, type: "array<u32>", access: "read" },
      partial: {
        buffer: args.partial,
        type: "array<vec4<f32>>",
        access: "read_write",
      },
      stats: {
        buffer: args.stats,
        type: "array<vec2<f32>>",
        access: "read_write",
      },
    },
    params: {
      heads: { u32: heads },
      splits: { u32: args.splits },
      capacity: { u32: args.capacity },
      // Softmax by exp2.
      scale: { f32: args.scale * Math.LOG2E },
      query_offset: { u32: query.offset },
      query_stride: { u32: query.stride },
      key_offset: { u32: first.offset },
      key_stride: { u32: first.stride },
      rotary_offset: { u32: second.offset },
      rotary_stride: { u32: second.stride },
    },
    grid: [
      Math.ceil(heads / (OWN_HEADS * subgroups)),
      args.splits,
      args.batch,
    ],
    ...work,
  };
}

function layoutOf(
  lanes: number,
  { first, firstWidth, secondWidth }: TileDecodeSizes,
  shape: TileDecodeShape,
): Layout {
  const isHalf = first.element === "f16";
  const halves = isHalf && shape.halves === true;
  const vectors = isHalf && !halves ? 2 : 1;
  const units = firstWidth / (4 * vectors);
  const laneUnits = Math.ceil(units / lanes);
  const lanePairs = Math.ceil(secondWidth / 2 / lanes);
  const round = lanes / OWN_HEADS;
  const subgroups = shape.heads / OWN_HEADS;
  // Two neighboring subgroups halve each other's loads of the output's columns.
  const outHeads = laneUnits % 2 === 0 && subgroups % 2 === 0
    ? 2 * OWN_HEADS
    : OWN_HEADS;
  const widened = isHalf && shape.widened && !halves;
  const tokens = shape.rounds * round;
  const row = lanes * (
    laneUnits * (widened ? 32 : halves ? 8 : 16) +
    lanePairs * (isHalf && !widened ? 4 : 8)
  );
  return {
    vectors,
    units,
    laneUnits,
    lanePairs,
    lanes,
    round,
    subgroups,
    outHeads,
    outUnits: laneUnits * OWN_HEADS / outHeads,
    widened,
    halves,
    bytes: tokens * (shape.buffers * row + 16 * subgroups) + 16 * subgroups,
  };
}

/**
 * Sums s<h>_<u> over the lanes of a subgroup; each ends with one of the sums in
 * s0_0. Slots are permuted by lane such that a step adds to a slot its neighbor's
 * slot of the other half.
 */
function reduceAndScatter(round: number): string {
  const lines: string[] = [];
  for (let half = OWN_HEADS / 2; half >= 1; half /= 2) {
    for (let h = 0; h < half; h++) {
      for (let u = 0; u < round; u++) {
        lines.push(
          `s${h}_${u} += subgroupShuffleXor(s${h + half}_${u}, ${
            half * round
          }u);`,
        );
      }
    }
  }
  for (let half = round / 2; half >= 1; half /= 2) {
    for (let u = 0; u < half; u++) {
      lines.push(`s0_${u} += subgroupShuffleXor(s0_${u + half}, ${half}u);`);
    }
  }
  return lines.join("\n");
}

/** A line for each power of two below `width`. */
function butterfly(width: number, line: (mask: number) => string): string {
  const lines: string[] = [];
  for (let mask = 1; mask < width; mask *= 2) lines.push(line(mask));
  return lines.join("\n");
}

function readOnly({ buffer }: View, type: string): Binding {
  return { buffer, type: `array<${type}>`, access: "read" };
}
