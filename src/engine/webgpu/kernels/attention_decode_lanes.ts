// The fast form of decode attention, for subgroups and widths that divide into
// loads of 8 or 16 bytes: which shapes it takes, and its dispatch.

import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import type { AttentionDecodeArgs } from "./attention_decode.ts";
import { isVector, keyLoads } from "./attention_views.ts";
import { type Binding, dispatchOf, readWgsl, type View } from "./kernel.ts";

const SOURCE = readWgsl("attention_decode_lanes.wgsl", import.meta.url);

// Of a workgroup.
const SUBGROUPS = 8;

/** How many vectors of q and output a lane holds at most, and registers of loads. */
const MOST_VECTORS = 36;
/** A lane with a single head may have more: the plain form takes about five times as long a byte. */
const MOST_OF_ONE_HEAD = 44;
const MOST_LOADS = 64;

/** How a row part is read by the lanes of a key. */
interface LoadUnits {
  /** Vectors of four columns in one load. */
  readonly vectors: number;
  /** Loads of a whole row part. */
  readonly units: number;
  readonly raw: string;
}

/** How the work lies on lanes. */
interface LaneShape {
  readonly first: LoadUnits;
  readonly value: LoadUnits;
  readonly valueIsKey: boolean;
  /** Lanes of a subgroup. */
  readonly lanes: number;
  /** Lanes that share a key. */
  readonly perKey: number;
  /** Heads of a lane, a power of two. */
  readonly heads: number;
  /** Keys of a lane and step. */
  readonly keys: number;
  readonly headSlots: number;
  readonly keySlots: number;
  readonly blocks: number;
}

/**
 * The dispatch of the fast form.
 *
 * @param arena Owns the parameters.
 * @param args As attentionDecode() takes them.
 * @param work Its bytes and operations.
 * @returns The dispatch; undefined where the device or the widths do not allow it.
 */
export function attentionDecodeLanes(
  arena: Arena,
  args: AttentionDecodeArgs,
  work: { readonly bytes: number; readonly flops: number },
): Dispatch | undefined {
  const shape = laneShape(arena.gpu, args);
  if (shape === undefined) return undefined;
  const { first, value, valueIsKey, lanes, perKey, heads, keys } = shape;
  const { headSlots, keySlots } = shape;
  const { firstWidth, secondWidth, valueWidth, second } = args;
  const values = args.valueFrom === "first" ? args.first : second;
  const groups = Math.max(args.keyGroups, args.valueGroups);
  const scores = heads * keys;
  const packedPairs = second.element === "f16";
  const loads = keyLoads({
    query: args.query,
    queryNope: 0,
    queryRotary: firstWidth,
    heads: args.heads,
    groups,
    nope: firstWidth,
    rotary: secondWidth,
    scale: args.scale,
    key: args.first,
    keyGroupStride: args.keyGroupStride,
    ...(secondWidth > 0 ? { rotaryKey: second } : {}),
    capacity: args.capacity,
  });
  const outputs = Math.ceil(value.units / perKey) * value.vectors;
  return dispatchOf(arena, {
    label: "attention_decode_lanes",
    source: SOURCE,
    needs: ["subgroups"],
    constants: {
      SG: lanes,
      LK: perKey,
      KG: lanes / perKey,
      U: keys,
      HB: heads,
      HS: headSlots,
      KS: keySlots,
      DUP: perKey / scores,
      A: firstWidth,
      B: secondWidth,
      FA: Math.ceil(first.units / perKey),
      EA: first.vectors,
      FIRST_UNITS: first.units,
      FIRST_RAW: first.raw,
      FIRST_PACKED: first.vectors === 2,
      FV: Math.ceil(value.units / perKey),
      EV: value.vectors,
      VALUE_UNITS: value.units,
      VALUE_RAW: value.raw,
      VALUE_PACKED: value.vectors === 2,
      VALUE_IS_KEY: valueIsKey,
      V4: valueWidth / 4,
      FB: Math.ceil(secondWidth / 2 / perKey),
      PAIR_UNITS: secondWidth / 2,
      PAIR_RAW: packedPairs ? "u32" : "vec2<f32>",
      PAIR_PACKED: packedPairs,
      REDUCE: reduceAndScatter(scores, perKey),
      MAX_OVER_KEYS: butterfly(
        masks(perKey / scores, perKey / heads),
        (mask) =>
          `new_top = max(new_top, subgroupShuffleXor(new_top, ${mask}u));`,
      ),
      SUM_OVER_KEYS: butterfly(
        masks(perKey / scores, perKey / heads),
        (mask) => `sum += subgroupShuffleXor(sum, ${mask}u);`,
      ),
      MERGE_TOPS: butterfly(
        masks(perKey, lanes),
        (mask) => `top = max(top, subgroupShuffleXor(top, ${mask}u));`,
      ),
      MERGE_SUMS: butterfly(
        masks(perKey, lanes),
        (mask) => `sum += subgroupShuffleXor(sum, ${mask}u);`,
      ),
      MERGE_PARTS: butterfly(
        masks(perKey, lanes),
        (mask) =>
          accumulators(heads, outputs).map((name) =>
            `${name} += subgroupShuffleXor(${name}, ${mask}u);`
          ).join("\n"),
      ),
    },
    bindings: {
      query: { buffer: args.query.buffer, type: "array<f32>", access: "read" },
      first: readOnly(args.first, first.raw),
      ...(valueIsKey ? {} : { values: readOnly(values, value.raw) }),
      ...(secondWidth > 0
        ? { pairs: readOnly(second, packedPairs ? "u32" : "vec2<f32>") }
        : {}),
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
      ...loads.params,
      key_groups: { u32: args.keyGroups },
      value_groups: { u32: args.valueGroups },
      value_offset: { u32: values.offset },
      value_stride: { u32: values.stride },
      value_group_stride: { u32: args.valueGroupStride },
      splits: { u32: args.splits },
      blocks: { u32: shape.blocks },
    },
    grid: [groups * shape.blocks, args.splits, args.batch],
    ...work,
  });
}

/** Undefined where the kernel cannot run, or would not fit registers. */
function laneShape(
  gpu: Gpu,
  args: AttentionDecodeArgs,
): LaneShape | undefined {
  const lanes = gpu.facts.subgroupSize;
  if (!gpu.features.subgroups || lanes < 4) return undefined;
  const { firstWidth, secondWidth, valueWidth, second } = args;
  const values = args.valueFrom === "first" ? args.first : second;
  const first = loadUnits(args.first, firstWidth, args.keyGroupStride);
  const value = loadUnits(values, valueWidth, args.valueGroupStride);
  if (first === undefined || value === undefined) return undefined;
  const pairs = secondWidth / 2;
  if (
    secondWidth > 0 &&
    [secondWidth, second.offset, second.stride].some((n) => n % 2 !== 0)
  ) return undefined;
  const valueIsKey = args.valueFrom === "first" && valueWidth === firstWidth &&
    args.valueGroupStride === 0 && args.keyGroupStride === 0;
  // A lane's vectors of one key, and of one head's output.
  const keyVectors = (n: number) =>
    Math.ceil(first.units / n) * first.vectors + Math.ceil(pairs / n) / 2;
  const outVectors = (n: number) => Math.ceil(value.units / n) * value.vectors;
  // On a rasterizer's short subgroups too, some of them shared by several keys.
  let perKey = Math.min(8, lanes / 2);
  while (perKey < lanes && keyVectors(perKey) > 4) perKey *= 2;
  const vectors = keyVectors(perKey) + outVectors(perKey);
  const perGroup = Math.ceil(
    args.heads / Math.max(args.keyGroups, args.valueGroups),
  );
  let heads = Math.min(8, perKey, 2 ** Math.ceil(Math.log2(perGroup)));
  while (heads > 1 && heads * vectors > MOST_VECTORS) heads /= 2;
  if (heads * vectors > MOST_OF_ONE_HEAD) return undefined;
  const loads = 4 * Math.ceil(first.units / perKey) +
    Math.ceil(pairs / perKey) +
    (valueIsKey ? 0 : 4 * Math.ceil(value.units / perKey));
  let keys = 4;
  while (keys > 1 && (heads * keys > perKey || keys * loads > MOST_LOADS)) {
    keys /= 2;
  }
  const slots = Math.ceil(perGroup / heads);
  const blocks = Math.ceil(slots / SUBGROUPS);
  const headSlots = Math.ceil(slots / blocks);
  let keySlots = gpu.facts.software ? 2 : SUBGROUPS;
  const merged = headSlots * heads * (valueWidth / 4 * 16 + 8);
  while (
    keySlots > 1 &&
    (keySlots * headSlots > SUBGROUPS || keySlots * merged > 16384)
  ) keySlots /= 2;
  return {
    first,
    value,
    valueIsKey,
    lanes,
    perKey,
    heads,
    keys,
    headSlots,
    keySlots,
    blocks,
  };
}

/** 16 bytes a load, 8 where f16 rows do not divide by 8 columns. */
function loadUnits(
  view: View,
  width: number,
  groupStride: number,
): LoadUnits | undefined {
  if (!isVector(view, width, groupStride)) return undefined;
  const all = [width, groupStride, view.offset, view.stride];
  if (view.element === "f16" && all.every((n) => n % 8 === 0)) {
    return { vectors: 2, units: width / 8, raw: "vec4<u32>" };
  }
  return { vectors: 1, units: width / 4, raw: `vec4<${view.element}>` };
}

/**
 * Sums s0..s(count-1) over `width` lanes; each lane ends with one of the sums in
 * s0: s(lane · count / width).
 */
function reduceAndScatter(count: number, width: number): string {
  const lines: string[] = [];
  let mask = width / 2;
  for (let half = count / 2; half >= 1; half /= 2, mask /= 2) {
    lines.push(`let low${mask} = (lane & ${mask}u) == 0u;`);
    for (let i = 0; i < half; i++) {
      lines.push(
        `s${i} = select(s${i + half}, s${i}, low${mask}) + ` +
          `subgroupShuffleXor(select(s${i}, s${
            i + half
          }, low${mask}), ${mask}u);`,
      );
    }
  }
  for (; mask >= 1; mask /= 2) {
    lines.push(`s0 += subgroupShuffleXor(s0, ${mask}u);`);
  }
  return lines.join("\n");
}

/** Powers of two from `from` up to but not including `to`. */
function masks(from: number, to: number): number[] {
  const all: number[] = [];
  for (let mask = from; mask < to; mask *= 2) all.push(mask);
  return all;
}

function butterfly(
  masks: readonly number[],
  line: (mask: number) => string,
): string {
  return masks.map(line).join("\n");
}

function accumulators(heads: number, vectors: number): string[] {
  return Array.from(
    { length: heads * vectors },
    (_, i) => `acc${Math.floor(i / vectors)}_${i % vectors}`,
  );
}

function readOnly(view: View, raw: string): Binding {
  return { buffer: view.buffer, type: `array<${raw}>`, access: "read" };
}
