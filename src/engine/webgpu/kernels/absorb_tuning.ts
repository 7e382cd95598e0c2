// How absorbStore() cuts its work, by device and rows.

import type { Gpu } from "../device/gpu.ts";

/** How a workgroup of absorbStore() cuts its work; see absorb_store.wgsl. */
export interface AbsorbShape {
  /** Threads along the latent columns, each with a load of 16 bytes. */
  readonly columns: number;
  /** Slices of the nope dims side by side. */
  readonly slices: number;
  /** Threads along rows. */
  readonly rowGroups: number;
  /** Rows of a thread. */
  readonly rows: number;
  /** Loads in flight: a multiple of 4. */
  readonly ahead: number;
}

/**
 * The shape of absorbStore() for a batch.
 *
 * @param gpu The device.
 * @param rows Query rows.
 * @param nope Dims of a head that are mapped.
 */
export function absorbShape(
  gpu: Gpu,
  rows: number,
  nope: number,
): AbsorbShape {
  if (gpu.facts.software) {
    return rows === 1
      ? shape(4, 4, 1, 1, 4)
      : rows <= 4
      ? shape(4, 2, 1, 4, 4)
      : shape(4, 1, 2, 4, 4);
  }
  // So many slices that loads of all dims are in flight at once.
  const most = 2 ** Math.floor(Math.log2(Math.max(1, nope / 8)));
  if (rows === 1) return shape(16, Math.min(16, most), 1, 1, 8);
  if (rows <= 8) {
    const each = 2 ** Math.ceil(Math.log2(rows));
    return shape(16, Math.min(8, most), 1, each, 8);
  }
  if (rows <= 64) return shape(16, 4, 2, 8, 4);
  return shape(16, 1, 4, 8, 4);
}

/**
 * Shapes that could be the fastest.
 *
 * @param rows Query rows.
 */
export function absorbCandidates(rows: number): AbsorbShape[] {
  if (rows === 1) {
    return [
      shape(8, 16, 1, 1, 8),
      shape(16, 8, 1, 1, 8),
      shape(16, 16, 1, 1, 8),
      shape(32, 8, 1, 1, 8),
      shape(32, 16, 1, 1, 8),
    ];
  }
  if (rows <= 8) {
    const each = 2 ** Math.ceil(Math.log2(rows));
    return [4, 8].flatMap((slices) => [
      shape(16, slices, 1, each, 8),
      shape(8, slices, 1, each, 8),
    ]);
  }
  return [
    shape(16, 1, 4, 8, 4),
    shape(16, 1, 4, 8, 8),
    shape(32, 1, 4, 8, 4),
    shape(16, 2, 2, 8, 4),
    shape(16, 2, 4, 8, 4),
    shape(16, 4, 2, 8, 4),
    shape(16, 2, 4, 4, 4),
    shape(16, 4, 4, 4, 4),
  ];
}

/** A shape in words, for labels of cases. */
export function describeAbsorb(own: AbsorbShape): string {
  const { columns, slices, rowGroups, rows, ahead } = own;
  return `${columns} columns, ${slices} slices, ${rowGroups} x ${rows} rows, ${ahead} ahead`;
}

function shape(
  columns: number,
  slices: number,
  rowGroups: number,
  rows: number,
  ahead: number,
): AbsorbShape {
  return { columns, slices, rowGroups, rows, ahead };
}
