// Queries mapped into the latent space (absorbed MLA), or into the merged key
// basis (partial RoPE): there n = d, m = 0 and keyUp is the basis transposed.

import type { Arena, Dispatch } from "../device/gpu.ts";
import { isVector, viewBinding } from "./attention_views.ts";
import { dispatchOf, ELEMENT_BYTES, readWgsl, type View } from "./kernel.ts";
import type { Region } from "./row_units.ts";

const SOURCE = readWgsl("absorb.wgsl", import.meta.url);

/** What absorb() takes. */
export interface AbsorbArgs {
  /** f32 [rows, ...] */
  readonly x: View;
  readonly rows: number;
  /** Query heads in x, their rotary dims (the first or the last m of a head) rotated already. */
  readonly query: Region;
  readonly groups: number;
  /** Rows g·groupRows + i, i < n, of r columns. */
  readonly keyUp: View;
  /** Rows of keyUp from one group to the next. @default n */
  readonly groupRows?: number;
  /** r */
  readonly rank: number;
  /** [latent r; rotary m], else [rotary m; latent r]. */
  readonly latentFirst: boolean;
  /** f32 [rows, H·(r+m)] */
  readonly out: View;
}

/**
 * out_h = [keyUp_g(h)^T q_nope; q_rotary], g(h) = floor(h G / H).
 *
 * @param arena Owns the parameters.
 * @param args Views and sizes.
 * @returns The dispatch.
 */
export function absorb(arena: Arena, args: AbsorbArgs): Dispatch[] {
  const { x, rows, query, groups, keyUp, rank, latentFirst, out } = args;
  const rotary = query.rotaryWidth;
  const nope = query.width - rotary;
  const { heads } = query;
  const columns = arena.gpu.facts.software ? 4 : 32;
  // Up to here workgroups are too few to hide the loads of a whole column.
  const few = rows <= 64;
  const slices = rows <= 2 ? 8 : few ? 4 : 1;
  const ahead = nope >= 8 * slices ? 8 : 4;
  const rowGroups = few ? 1 : 4;
  const rowsPerThread = few ? Math.min(8, 2 ** Math.ceil(Math.log2(rows))) : 8;
  const rowTile = rowsPerThread * rowGroups;
  const vector = isVector(keyUp, rank);
  return [dispatchOf(arena, {
    label: "absorb",
    source: SOURCE,
    constants: {
      N: nope,
      N_PAD: Math.ceil(nope / (ahead * slices)) * ahead * slices,
      AHEAD: ahead,
      ROWS: rowTile,
      RT: rowsPerThread,
      COLUMNS: columns,
      SLICES: slices,
      GROUPS: rowGroups,
      UP_VECTOR: vector,
    },
    bindings: {
      x: viewBinding(x, false),
      key_up: viewBinding(keyUp, vector),
      out: { ...viewBinding(out, false), access: "read_write" },
    },
    params: {
      rows: { u32: rows },
      heads: { u32: heads },
      groups: { u32: groups },
      rank: { u32: rank },
      rotary: { u32: rotary },
      x_offset: { u32: x.offset + query.start },
      x_stride: { u32: x.stride },
      query_width: { u32: query.width },
      nope_at: { u32: query.rotaryStart === 0 ? rotary : 0 },
      rotary_at: { u32: query.rotaryStart },
      up_offset: { u32: keyUp.offset },
      up_stride: { u32: keyUp.stride },
      group_rows: { u32: args.groupRows ?? nope },
      out_offset: { u32: out.offset },
      out_stride: { u32: out.stride },
      latent_to: { u32: latentFirst ? 0 : rotary },
      rotary_to: { u32: latentFirst ? rank : 0 },
    },
    grid: [
      Math.ceil(rows / rowTile),
      heads,
      Math.ceil(rank / (4 * columns)),
    ],
    bytes: groups * nope * rank * ELEMENT_BYTES[keyUp.element] +
      4 * rows * heads * (query.width + rank + rotary),
    flops: 2 * rows * heads * nope * rank,
  })];
}
