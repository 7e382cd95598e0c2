// Forms of decode attention as tables have them: each form has a table of its own,
// and those of the others say where lanes are the faster.

import type { DecodeForm } from "../kernels/decode_form.ts";
import type { TunedShape } from "../kernels/tuning_table.ts";

/** A form with its name. */
export function shapeOfForm({ splits, matrix, tile }: DecodeForm): TunedShape {
  return matrix !== undefined
    ? { form: "matrix", ...matrix }
    : tile !== undefined
    ? { form: "tile", ...tile, splits }
    : { form: "lanes", splits };
}

/** What attentionDecode() takes of a shape of shapeOfForm(). */
export function formOfShape({ form, ...shape }: TunedShape): DecodeForm {
  const splits = Number(shape["splits"]);
  return {
    splits,
    ...(form === "matrix" || form === "tile" ? { [form]: shape } : {}),
  };
}

/**
 * Where tables keep a form.
 *
 * @param shape Of shapeOfForm().
 * @returns Shapes by kernel.
 */
export function tablesOfForm(
  { form, ...shape }: TunedShape,
): Readonly<Record<string, TunedShape>> {
  return form === "matrix"
    ? { attention_decode_matrix: shape }
    : form === "tile"
    ? { attention_decode_tile: shape }
    : {
      // No splits: not in this form.
      attention_decode_matrix: { splits: 0 },
      attention_decode_tile: { splits: 0 },
      attention_decode_lanes: { splits: shape["splits"]! },
    };
}
