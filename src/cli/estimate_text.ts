// An estimate as text: caches, equations, memory and time of a conversion.

import { formatByteSize } from "../experiment/byte_size.ts";
import type { ConversionMemory } from "../experiment/conversion_memory.ts";
import type {
  CacheEstimate,
  CacheRequest,
  Equation,
} from "../experiment/model_estimate.ts";
import type { ModelConfig } from "../model/config.ts";
import { formatNumber, formatPercent } from "../report/format.ts";
import { formatSeconds, formatTable, paint } from "./terminal.ts";

/** All that `deno task estimate` says. */
export interface ModelEstimate {
  readonly model: string;
  readonly source: string;
  readonly config: ModelConfig;
  readonly parameters: number;
  readonly request: CacheRequest;
  readonly caches: readonly CacheEstimate[];
  readonly equations: readonly Equation[];
  readonly memory: ConversionMemory;
  readonly time: {
    readonly gflops: number;
    readonly calibration: {
      readonly samples: number;
      readonly tokens: number;
      readonly passes: number;
    };
    readonly calibrationSeconds: number;
    readonly decompositionSeconds: number;
  };
}

/**
 * Renders an estimate.
 *
 * @param estimate Of one model.
 */
export function estimateText(estimate: ModelEstimate): string {
  const { request, config, caches } = estimate;
  const beyond = request.contexts.filter((context) =>
    context > config.maxPositionEmbeddings
  );
  return [
    modelLine(estimate),
    section(
      `Cache in ${request.dtype}, batch ${formatNumber(request.batch)}`,
    ),
    cacheTable(estimate),
    ...beyond.length === 0 ? [] : [
      `beyond maxPositionEmbeddings ${
        formatNumber(config.maxPositionEmbeddings)
      }, by arithmetic alone: ${beyond.map((n) => formatNumber(n)).join(", ")}`,
    ],
    ...request.memoryBytes === undefined ? [] : [
      section(
        `Largest batch in ${
          formatByteSize(request.memoryBytes)
        }, weights in ${request.dtype} and cache`,
      ),
      batchTable(caches, request),
    ],
    section("Equations"),
    equationTable(estimate.equations),
    section("Memory to convert, at least"),
    equationTable([
      ...estimate.memory.parts,
      {
        what: "at once",
        symbols: "sum",
        numbers: "",
        value: estimate.memory.atOnceBytes,
        unit: "bytes",
      },
      estimate.memory.onDisk,
      estimate.memory.allWeights,
    ]),
    section("Time to convert"),
    timeLine(estimate),
    "",
    "Estimates, not measurements: activations and the runtime's own memory are not counted.",
  ].join("\n");
}

function section(title: string): string {
  return `\n${paint(title, "bold", Deno.stdout)}\n`;
}

function modelLine(
  { model, source, config, parameters, request, caches }: ModelEstimate,
): string {
  return `${model} (${source}): L ${config.numHiddenLayers}, D ${
    formatNumber(config.hiddenSize)
  }, H ${config.numAttentionHeads}, G ${config.numKeyValueHeads}, d ${config.headDim}; ${
    parameters < 1e9
      ? `${(parameters / 1e6).toPrecision(3)} M`
      : `${(parameters / 1e9).toPrecision(3)} G`
  } parameters, ${formatByteSize(caches[0]!.weightBytes)} in ${request.dtype}`;
}

function cacheTable({ caches, request }: ModelEstimate): string {
  return formatTable(
    [
      "variant",
      "numbers/token/layer",
      "change",
      "bytes/token",
      "weights",
      ...request.contexts.map((context) => formatNumber(context)),
    ],
    caches.map((cache) => [
      cache.label,
      formatNumber(cache.elementsPerTokenPerLayer),
      change(cache),
      formatNumber(cache.bytesPerToken),
      formatByteSize(cache.weightBytes),
      ...cache.byContext.map(({ cacheBytes }) => formatByteSize(cacheBytes)),
    ]),
  );
}

function change({ widths, reduction }: CacheEstimate): string {
  return widths === undefined ? "–" : formatPercent(-reduction);
}

function batchTable(
  caches: readonly CacheEstimate[],
  { contexts }: CacheRequest,
): string {
  return formatTable(
    ["variant", ...contexts.map((context) => formatNumber(context))],
    caches.map(({ label, byContext }) => [
      label,
      ...byContext.map(({ largestBatch }) => formatNumber(largestBatch)),
    ]),
  );
}

function equationTable(equations: readonly Equation[]): string {
  return formatTable(
    ["what", "equation", "", ""],
    equations.map(({ what, symbols, numbers, value, unit }) => [
      what,
      symbols,
      numbers === "" ? "" : `= ${numbers}`,
      `= ${
        unit === "bytes"
          ? `${formatNumber(value)} B${inUnits(value)}`
          : unit === "part"
          ? formatPercent(value)
          : formatNumber(value)
      }`,
    ]),
  );
}

function inUnits(bytes: number): string {
  return bytes < 1024 ? "" : ` = ${formatByteSize(bytes)}`;
}

function timeLine({ time }: ModelEstimate): string {
  const { samples, tokens, passes } = time.calibration;
  return `calibration about ${
    formatSeconds(time.calibrationSeconds)
  } (${passes} passes over ${samples} · ${tokens} tokens), decompositions about ${
    formatSeconds(time.decompositionSeconds)
  }, at ${formatNumber(time.gflops)} GFLOPS in f32`;
}
