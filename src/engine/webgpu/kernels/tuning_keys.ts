// How sizes of products and attention are written in tuning tables: near sizes
// share a key, so that a table stays small.

const ROW_CLASSES = [
  8,
  16,
  32,
  48,
  64,
  96,
  128,
  192,
  256,
  512,
  2048,
] as const;

/**
 * Rows of a product as tables have them.
 *
 * @param rows Rows of x.
 * @returns The next class up; the last has all that are larger.
 */
export function rowsClass(rows: number): number {
  return ROW_CLASSES.find((most) => rows <= most) ?? 2048;
}

/** The key of a gemm() of x [rows, width] with W [height, width]. */
export function gemmKey(
  { element, rows, height, width, gated = false }: {
    readonly element: string;
    readonly rows: number;
    readonly height: number;
    readonly width: number;
    readonly gated?: boolean;
  },
): string {
  const size = `${element} ${rowsClass(rows)}x${height}x${width}`;
  return gated ? `${size} gated` : size;
}

/** The key of a gemv() of x [columns, width] with W [height, width]. */
export function gemvKey(
  { columns, height, width, prologue }: {
    readonly columns: number;
    readonly height: number;
    readonly width: number;
    /** What happens to x on the way in: "none", "norm", "scaled", "gatedSilu". */
    readonly prologue: string;
  },
): string {
  return `${columns}x${height}x${width} ${prologue}`;
}

/** The key of decode attention: batch and context as the nearest power of two, since a cache has room for a little more than its context. */
export function attentionKey(
  { kind, heads, groups, width, batch, context }: {
    readonly kind: "mla" | "gqa";
    readonly heads: number;
    /** Heads' keys that differ: 1 in latent attention. */
    readonly groups: number;
    /** Columns of a cached value: in latent attention the rank. */
    readonly width: number;
    /** Sequences. */
    readonly batch: number;
    /** Tokens that a sequence has room for. */
    readonly context: number;
  },
): string {
  const attention = `${kind} ${heads}/${groups}x${width}`;
  return `${attention} ${powerOfTwo(batch)} ${powerOfTwo(context)}`;
}

function powerOfTwo(number: number): number {
  return 2 ** Math.round(Math.log2(Math.max(1, number)));
}
