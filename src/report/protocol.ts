// Sentences that state under which conditions numbers were measured.
// Everything said here is read from the records.

import type { PerplexityMetrics } from "../experiment/record.ts";
import { formatNumber, joinWords } from "./format.ts";
import { isObject, type RunData } from "./load.ts";
import { engineName, mainContext, type Series } from "./series.ts";

/** The distinct models of a run, "smollm2-135m-q4_1". */
export function modelNames(run: RunData): string {
  return joinWords([...new Set(run.cells.map((cell) => cell.model.id))]);
}

/** One line on the shape of each model. */
export function modelShapes(run: RunData): string[] {
  const shapes = run.cells.map(({ model }) =>
    `${model.id}: ${model.modelType}, ${model.numHiddenLayers} layers, hidden size ${
      formatNumber(model.hiddenSize)
    }, ${model.numAttentionHeads} query heads, ${model.numKeyValueHeads} KV heads of ${model.headDim}, sha256 ${
      model.sha256.slice(0, 16)
    }…`
  );
  return [...new Set(shapes)];
}

/** What a caption's numbers are: perplexities or divergences of one window length or of all, speeds. */
export interface Shown {
  readonly perplexity?: number | "all";
  readonly divergence?: number | "all";
  readonly speed?: true;
}

/**
 * The conditions of measurement, for a caption.
 *
 * @param run The run.
 * @param shown What the caption's figure or table shows.
 * @returns Sentences: text and windows, batch and repetitions, engine, machine.
 */
export function protocol(run: RunData, shown: Shown): string {
  if (run.parts !== undefined) {
    const names = Map.groupBy(
      run.parts,
      ({ run }) => protocol(run, shown),
    );
    names.delete("");
    return [...names].map(([text, runs]) =>
      names.size === 1 && runs.length === run.parts!.length
        ? text
        : `${joinWords(runs.map(({ name }) => name))}: ${text}`
    ).join(" ");
  }
  // The same windows of the same text are said once.
  const quality = [
    ...new Set([
      shown.perplexity === undefined
        ? ""
        : windowProtocol(run, "perplexity", shown.perplexity),
      shown.divergence === undefined
        ? ""
        : windowProtocol(run, "divergence", shown.divergence),
    ].filter((part) => part !== "")),
  ].join(" Divergence: ");
  const speed = shown.speed === true ? throughputProtocol(run) : "";
  if (quality === "" && speed === "") return "";
  const engines = [
    ...new Set(
      run.cells.filter((cell) => cell.measure !== "conversion").map(engineName),
    ),
  ];
  const machine = speed === "" ? "" : machineName(run);
  return [
    quality,
    speed,
    `Engine: ${joinWords(engines)}${machine === "" ? "" : `, on ${machine}`}.`,
  ].filter((part) => part !== "").join(" ");
}

/** protocol() of perplexities, or the engine alone where there are none. */
export function checkProtocol(run: RunData): string {
  const machine = machineName(run);
  return protocol(run, { perplexity: "all" }) ||
    `Engine: ${joinWords([...new Set(run.cells.map(engineName))])}${
      machine === "" ? "" : `, on ${machine}`
    }.`;
}

const LETTERS: readonly (readonly [RegExp, string])[] = [
  [/^F\d/, "F: neighboring rotary frequencies folded to one (FreqFold)"],
  [/^m\d/, "m: key dimensions that keep RoPE"],
  [/^r\d/, "r: width of the latent"],
  [/^bkv/, "bkv: keys balanced against values before the joint PCA"],
];

/** What the letters of the labels mean, and that nothing was trained; "" where nothing was converted. */
export function labelNote(series: readonly Series[]): string {
  const others = series.filter((one) => !one.isBaseline);
  if (others.length === 0) return "";
  const words = others.flatMap(({ label }) => label.split(" "));
  const letters = LETTERS.filter(([pattern]) =>
    words.some((word) => pattern.test(word))
  ).map(([, meaning]) => meaning);
  const trained = others.every(({ variant }) => variant.method === "mla-shape")
    ? "mla-shape: seeded weights of the shape that a conversion gives."
    : "No training followed the conversions.";
  return letters.length === 0
    ? trained
    : `Labels: ${letters.join("; ")}. ${trained}`;
}

/** The conditions of the headline table. */
export function headlineProtocol(
  series: readonly Series[],
  run: RunData,
): string {
  const context = mainContext(series);
  const diverged = mainContext(series, "divergence");
  return protocol(run, {
    ...(context === undefined ? {} : { perplexity: context }),
    ...(diverged === undefined ? {} : { divergence: diverged }),
    speed: true,
  });
}

/** How the perplexities or divergences were measured: text and windows. */
export function windowProtocol(
  run: Pick<RunData, "cells">,
  measure: "perplexity" | "divergence",
  contextTokens: number | "all",
): string {
  const texts = new Set<string>();
  const counts = new Map<number, number>();
  for (const { text, windows, windowTokens } of scored(run, measure)) {
    if (contextTokens !== "all" && windowTokens !== contextTokens) continue;
    texts.add(text);
    counts.set(windowTokens, windows);
  }
  if (texts.size === 0) return "";
  const sorted = [...counts].sort((a, b) => a[0] - b[0]);
  const windows = sorted.length <= 2
    ? joinWords(
      sorted.map(([tokens, count]) =>
        `${formatNumber(count)} non-overlapping window${
          count === 1 ? "" : "s"
        } of ${formatNumber(tokens)} tokens`
      ),
    )
    : `non-overlapping windows of ${formatNumber(sorted[0]![0])} to ${
      formatNumber(sorted.at(-1)![0])
    } tokens (${range(sorted.map(([, count]) => count))} of each length)`;
  return `Text: ${joinWords([...texts])}, ${windows}.`;
}

/** The text and windows of every cell that scored a text. */
export function scored(
  { cells }: Pick<RunData, "cells">,
  measure: "perplexity" | "divergence",
): Pick<PerplexityMetrics, "text" | "windows" | "windowTokens">[] {
  return cells.flatMap((cell) =>
    (cell.measure === "perplexity" || cell.measure === "divergence") &&
      cell.measure === measure && cell.metrics !== undefined
      ? [cell.metrics]
      : []
  );
}

/** Decode steps of a repetition, as the experiment says; undefined where it does not. */
export function stepsOf(run: RunData): number | undefined {
  const measure = run.experiment["measure"];
  const speed = isObject(measure) ? measure["throughput"] : undefined;
  const steps = isObject(speed) ? speed["steps"] : undefined;
  return typeof steps === "number" ? steps : undefined;
}

/** How the speeds were measured. */
function throughputProtocol(run: RunData): string {
  const cells = run.cells.filter((cell) => cell.measure === "throughput");
  const batches = new Set<number>();
  const repetitions = new Set<number>();
  let along = "";
  for (const cell of cells) {
    if (cell.measure !== "throughput" || cell.metrics === undefined) continue;
    if (cell.metrics.requests !== undefined) {
      along = " at lengths along the generation of whole requests";
    }
    batches.add(cell.metrics.batchSize);
    repetitions.add(cell.metrics.repetitions);
  }
  if (batches.size === 0) return "";
  const times = range([...repetitions]);
  const together =
    run.cells.some(({ engine, measure }) =>
        measure === "throughput" && engine.name === "webgpu"
      )
      ? ", steps submitted together and timed as one"
      : "";
  const measure = run.experiment["measure"];
  const written = isObject(measure) ? measure["throughput"] : undefined;
  const filled = isObject(written) && written["cache"] === "seeded"
    ? ", with a cache of seeded numbers"
    : "";
  return `Batch ${
    range([...batches])
  }, median decode step of ${times} repetition${
    times === "1" ? "" : "s"
  }${along}${together}${filled}.`;
}

/** How the conversions were calibrated. */
export function calibrationProtocol(run: RunData): string {
  const calibration = run.experiment["calibration"];
  if (!isObject(calibration)) return "";
  const { text, samples, tokens, seed, seeds, passes } = calibration;
  const parts: string[] = [];
  if (typeof text === "string") parts.push(`text ${text}`);
  if (typeof samples === "number" && typeof tokens === "number") {
    parts.push(`${formatNumber(samples)} samples of ${tokens} tokens`);
  }
  if (typeof seed === "number") parts.push(`seed ${seed}`);
  if (Array.isArray(seeds)) parts.push(`seeds ${joinWords(seeds.map(String))}`);
  if (typeof passes === "number") {
    parts.push(passes === 1 ? "one pass" : `${passes} passes`);
  }
  return parts.length === 0 ? "" : `Calibration: ${parts.join(", ")}.`;
}

/** The machine of the first environment, "AMD EPYC, 2 cores, 7.6 GiB"; "" where unknown. */
export function machineName(
  run: Pick<RunData, "cells" | "environments">,
): string {
  const adapters = new Set(
    run.cells.map(({ engine: { adapter, adapterKind } }) =>
      adapterKind === "software" && adapter !== undefined
        ? `${adapter} (software)`
        : adapter
    ).filter((name) => name !== undefined),
  );
  if (adapters.size > 0) return joinWords([...adapters]);
  const names = run.environments.map((environment) => {
    const cpu = environment["cpu"];
    if (typeof cpu === "string") return cpu;
    if (!isObject(cpu)) return "";
    const model = cpu["model"] ?? cpu["name"];
    const cores = cpu["cores"] ?? cpu["logicalCores"] ?? cpu["threads"];
    return [
      typeof model === "string" ? model.trim() : "",
      typeof cores === "number" ? `${cores} cores` : "",
    ].filter((part) => part !== "").join(", ");
  });
  return joinWords([...new Set(names.filter((name) => name !== ""))]);
}

/** Day of the first and last cell, "2026-03-01". */
export function dates(run: RunData): string {
  const days = run.cells.map((cell) => cell.startedAt.slice(0, 10)).sort();
  const [first, last] = [days[0] ?? "", days.at(-1) ?? ""];
  return first === last ? first : `${first} to ${last}`;
}

/** "5", or "1 to 64". */
function range(values: readonly number[]): string {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high
    ? formatNumber(low)
    : `${formatNumber(low)} to ${formatNumber(high)}`;
}
