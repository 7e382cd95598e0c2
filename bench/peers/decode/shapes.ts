// The models that are timed and checked: a synthetic one, and its shape after a
// conversion to MLA.

import { methodByName } from "../../../src/conversion/methods/mod.ts";
import type { DecoderModel } from "../../../src/model/decoder.ts";
import { syntheticModel } from "../../../src/model/synthetic.ts";
import type { CaseKind, MlaWidths } from "./cases.ts";

/**
 * Makes a model.
 *
 * @param name "synthetic:llama-2-7b".
 * @param kind The original or its converted shape.
 * @param mla Widths of the converted shape.
 */
export async function modelOf(
  name: string,
  kind: CaseKind,
  mla: MlaWidths,
): Promise<DecoderModel> {
  const original = syntheticModel(name);
  if (kind === "original") return original;
  const method = methodByName("mla-shape");
  const options = method.options.parse({ ...mla });
  method.check(options, original.config);
  const { model } = await method.convert(original, options, {
    passes: 1,
    moments: () => Promise.reject(new TypeError("A shape needs no moments")),
    heldOutNll: () => Promise.reject(new TypeError("A shape needs no text")),
  });
  return model;
}
