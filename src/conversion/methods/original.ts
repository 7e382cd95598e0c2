// The baseline: no conversion.

import { z } from "zod";
import type { Method } from "../method.ts";

const options = z.strictObject({});

/** Options of `original`: none. */
export type OriginalOptions = z.infer<typeof options>;

/** Leaves the model as it is. */
export const original: Method<OriginalOptions> = {
  name: "original",
  summary: "The model as it was trained",
  source: "the model's own",
  latent: false,
  options,
  check() {},
  convert(model) {
    return Promise.resolve({ model, resolved: {}, layers: [] });
  },
};
