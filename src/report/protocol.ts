// Sentences that state under which conditions numbers were measured, and the
// report's opening sentence. Everything said here is read from the records.

import type { CellRecord } from "../experiment/record.ts";
import {
  formatNumber,
  formatPercent,
  formatPerplexity,
  formatPerplexityError,
  formatRatio,
  joinWords,
} from "./format.ts";
import { isObject, type RunData } from "./load.ts";
import { contextsOf, engineName, mainContext, type Series } from "./series.ts";
import { speedup } from "./tables.ts";

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

/** How the perplexities were measured. */
export function perplexityProtocol(run: RunData): string {
  const cells = run.cells.filter((cell) => cell.measure === "perplexity");
  const texts = new Set<string>();
  const counts = new Set<string>();
  for (const cell of cells) {
    if (cell.measure !== "perplexity" || cell.metrics === undefined) continue;
    texts.add(cell.metrics.text);
    counts.add(
      `${formatNumber(cell.metrics.windows)} of ${
        formatNumber(cell.metrics.windowTokens)
      }`,
    );
  }
  if (texts.size === 0) return "";
  return `Text ${joinWords([...texts])}, non-overlapping windows (${
    joinWords([...counts])
  } tokens), ${setting(cells)}.`;
}

/** How the speeds were measured. */
export function throughputProtocol(run: RunData): string {
  const cells = run.cells.filter((cell) => cell.measure === "throughput");
  const batches = new Set<number>();
  const repetitions = new Set<number>();
  for (const cell of cells) {
    if (cell.measure !== "throughput" || cell.metrics === undefined) continue;
    batches.add(cell.metrics.batchSize);
    repetitions.add(cell.metrics.repetitions);
  }
  if (batches.size === 0) return "";
  const sizes = [...batches].sort((a, b) => a - b);
  const batch = sizes.length <= 3
    ? joinWords(sizes.map((size) => formatNumber(size)))
    : `${formatNumber(sizes[0])} to ${formatNumber(sizes.at(-1))}`;
  return `Batch ${batch}, median of the decode steps of ${
    joinWords([...repetitions].sort((a, b) => a - b).map(String))
  } repetitions, ${setting(cells)}${onMachine(run)}.`;
}

/** How the conversions were calibrated. */
export function calibrationProtocol(run: RunData): string {
  const calibration = run.experiment["calibration"];
  if (!isObject(calibration)) return "";
  const { text, samples, tokens, seed, passes } = calibration;
  const parts: string[] = [];
  if (typeof text === "string") parts.push(`text ${text}`);
  if (typeof samples === "number" && typeof tokens === "number") {
    parts.push(`${formatNumber(samples)} samples of ${tokens} tokens`);
  }
  if (typeof seed === "number") parts.push(`seed ${seed}`);
  if (typeof passes === "number") {
    parts.push(passes === 1 ? "one pass" : `${passes} passes`);
  }
  return parts.length === 0 ? "" : `Calibration: ${parts.join(", ")}.`;
}

/** The machine of the first environment, "AMD EPYC, 2 cores, 7.6 GiB"; "" where unknown. */
export function machineName(run: RunData): string {
  const adapters = new Set(
    run.cells.map((cell) => cell.engine.adapter).filter((name) =>
      name !== undefined
    ),
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

/** The git commits of the cells, shortened, "ab12cd34". */
export function commits(run: RunData): string {
  return joinWords([
    ...new Set(
      run.cells.map((cell) => cell.commit?.slice(0, 10)).filter((commit) =>
        commit !== undefined
      ),
    ),
  ]);
}

/** Day of the first and last cell, "2026-03-01". */
export function dates(run: RunData): string {
  const days = run.cells.map((cell) => cell.startedAt.slice(0, 10)).sort();
  const [first, last] = [days[0] ?? "", days.at(-1) ?? ""];
  return first === last ? first : `${first} to ${last}`;
}

/**
 * The result in two or three sentences: how far the cache shrank, what it cost
 * in perplexity and what it gave in speed.
 *
 * @param series All series.
 * @param run Their run.
 * @returns Plain text.
 */
export function headline(series: readonly Series[], run: RunData): string {
  const others = series.filter((one) => !one.isBaseline);
  const base = series.find((one) => one.isBaseline);
  const model = modelNames(run);
  if (others.length === 0) return `Measurements of ${model} as published.`;
  const sentences: string[] = [];
  const reductions = others.map((one) => one.cache?.reduction).filter((value) =>
    value !== undefined
  ).sort((a, b) => a - b);
  const noun = others.length === 1
    ? `The conversion of ${model}`
    : `${formatNumber(others.length)} variants of ${model}`;
  if (reductions.length > 0) {
    const [low, high] = [reductions[0]!, reductions.at(-1)!];
    const least = formatPercent(low);
    const most = formatPercent(high);
    sentences.push(
      `${noun} ${others.length === 1 ? "cuts" : "cut"} the KV cache by ${
        least === most ? most : `${least} to ${most}`
      }.`,
    );
  } else {
    sentences.push(`${noun} ${others.length === 1 ? "was" : "were"} measured.`);
  }

  const context = mainContext(series);
  const measured = context === undefined ? [] : others.filter((one) =>
    one.perplexity.has(context) && (one.cache?.reduction ?? 1) > 0
  );
  if (context !== undefined && measured.length > 0) {
    const value = (one: Series) => one.perplexity.get(context)!.value;
    const withError = (one: Series) => {
      const metrics = one.perplexity.get(context)!;
      return formatPerplexity(metrics.value) + (metrics.windows > 1
        ? ` ± ${
          formatPerplexityError(metrics.value, metrics.value * metrics.stderr)
        }`
        : "");
    };
    const best = measured.reduce((a, b) => value(b) < value(a) ? b : a);
    const against = base?.perplexity.has(context)
      ? ` against ${withError(base)} of the ${base.label}`
      : "";
    const kept = best.cache === undefined
      ? ""
      : `, with ${
        formatPercent(1 - best.cache.reduction)
      } of the cache left,`;
    sentences.push(
      `${
        others.length === 1 ? "It" : `The most accurate, ${best.label}`
      }${kept} reaches perplexity ${withError(best)}${against} (${
        best.perplexity.get(context)!.text
      }, ${formatNumber(context)}-token windows).`,
    );
  }

  const longest = contextsOf(series, "throughput").findLast((tokens) =>
    others.some((one) => speedup(one, series, tokens) !== undefined)
  );
  if (longest !== undefined) {
    const fastest = others.filter((one) =>
      speedup(one, series, longest) !== undefined
    ).reduce((a, b) =>
      speedup(b, series, longest)! > speedup(a, series, longest)! ? b : a
    );
    sentences.push(
      `At ${formatNumber(longest)} tokens of context ${
        others.length === 1 ? "it" : `${fastest.label}, the fastest,`
      } decodes at ${
        formatRatio(speedup(fastest, series, longest))
      } the baseline's speed.`,
    );
  }
  return sentences.join(" ");
}

function setting(cells: readonly CellRecord[]): string {
  return `engine ${joinWords([...new Set(cells.map(engineName))])}`;
}

function onMachine(run: RunData): string {
  const name = machineName(run);
  return name === "" ? "" : `, on ${name}`;
}
