// The official code's own figures for the models that are compared, where a run
// has its settings: experiments/official-parity.yaml has them.

import { parse } from "yaml";
import { z } from "zod";
import { MODEL_ALIASES } from "../../src/checkpoint/model_aliases.ts";
import { TEXTS, WINDOW_TOKENS } from "./job.ts";
import type { PeerSettings } from "./settings.ts";

/** Labels of the compared models in the experiment file. */
const LABELS = {
  original: "original",
  "partial-rope": "partial-rope F2 m64",
  transmla: "transmla F2 m64 r128 bkv",
} as const;

const PARITY = z.looseObject({
  model: z.string(),
  calibration: z.looseObject({ text: z.string(), samples: z.int() }),
  measure: z.looseObject({
    perplexity: z.looseObject({ text: z.string(), tokens: z.int() }),
  }),
  expect: z.array(z.looseObject({
    variant: z.string(),
    metric: z.string(),
    value: z.number(),
  })),
});

/**
 * Perplexities that the official code gave.
 *
 * @param experiment The text of experiments/official-parity.yaml.
 * @param weightsSha256 Of the weights that were compared.
 * @param settings Of the run.
 * @returns Perplexity by compared model; empty where weights, texts, samples or windows are others.
 */
export function publishedFigures(
  experiment: string,
  weightsSha256: string,
  settings: Pick<PeerSettings, "text" | "samples" | "windows">,
): Record<string, number> {
  const { model, calibration, measure, expect } = PARITY.parse(
    parse(experiment),
  );
  const files = Object.values(MODEL_ALIASES[model]?.files ?? {});
  const text = TEXTS[settings.text];
  const same = files.length === 1 && files[0] === weightsSha256 &&
    calibration.text === text.calibration &&
    calibration.samples === settings.samples &&
    measure.perplexity.text === text.test &&
    measure.perplexity.tokens === settings.windows * WINDOW_TOKENS;
  if (!same) return {};
  const figures: Record<string, number> = {};
  for (const [name, label] of Object.entries(LABELS)) {
    const found = expect.find(({ variant, metric }) =>
      variant === label && metric === "perplexity.value"
    );
    if (found !== undefined) figures[name] = found.value;
  }
  return figures;
}
