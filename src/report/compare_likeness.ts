// Whether two cells measure one thing.

import type { CellRecord, ThroughputMetrics } from "../experiment/record.ts";
import { isObject } from "./load.ts";

/** What a cell's run says of the machine and of the calibration. */
interface Surroundings {
  readonly environment?: Readonly<Record<string, unknown>>;
  readonly experiment?: Readonly<Record<string, unknown>>;
}

/**
 * Why two cells do not measure one thing: weights, options, calibration, text
 * and windows; of timed ones also batch and machine.
 *
 * @param runA What is known of the first's run.
 * @param a The first.
 * @param runB What is known of the second's run.
 * @param b The second.
 * @returns "what: the first's, the second's" each; empty where they are alike.
 */
export function unlikeness(
  runA: Surroundings,
  a: CellRecord,
  runB: Surroundings,
  b: CellRecord,
): string[] {
  const reasons: string[] = [];
  const check = (what: string, left: string, right: string) => {
    if (left !== right) reasons.push(`${what}: ${left}, ${right}`);
  };
  if (a.model.sha256 !== b.model.sha256) {
    reasons.push(
      a.model.id === b.model.id
        ? `weights of ${a.model.id}: ${a.model.sha256.slice(0, 10)}, ${
          b.model.sha256.slice(0, 10)
        }`
        : `models: ${a.model.id}, ${b.model.id}`,
    );
  }
  for (
    const option of new Set([
      ...Object.keys(a.variant),
      ...Object.keys(b.variant),
    ])
  ) {
    check(
      option,
      JSON.stringify(a.variant[option]) ?? "not set",
      JSON.stringify(b.variant[option]) ?? "not set",
    );
  }
  reasons.push(...windowUnlikeness(a, b));
  if (a.measure === "throughput" && b.measure === "throughput") {
    if (a.metrics !== undefined && b.metrics !== undefined) {
      check("batch", `${a.metrics.batchSize}`, `${b.metrics.batchSize}`);
      check("workloads", workloadOf(a.metrics), workloadOf(b.metrics));
    }
  }
  if (
    a.measure !== "cache" && a.measure !== "throughput" &&
    a.variant.method !== "original"
  ) {
    const [left, right] = [calibrationOf(runA, a), calibrationOf(runB, b)];
    // What one run does not say is no difference.
    if (left !== undefined && right !== undefined) {
      check("calibration", left, right);
    }
    const [textA, textB] = [calibrationText(runA), calibrationText(runB)];
    if (
      textA !== undefined && textA.name === textB?.name &&
      textA.sha256 !== textB.sha256
    ) {
      check(
        `contents of calibration text ${textA.name}`,
        textA.sha256.slice(0, 10),
        textB.sha256.slice(0, 10),
      );
    }
  }
  if (a.measure === "throughput" || a.measure === "conversion") {
    check("machines", machineOf(runA, a), machineOf(runB, b));
  }
  return reasons;
}

/** The same of text and windows alone; empty where they are the same ones. */
export function windowUnlikeness(a: CellRecord, b: CellRecord): string[] {
  const left = windowsOf(a);
  const right = windowsOf(b);
  if (left === undefined || right === undefined) return [];
  if (left.textSha256 !== right.textSha256) {
    return [
      left.text === right.text
        ? `contents of ${left.text}: ${left.textSha256.slice(0, 10)}, ${
          right.textSha256.slice(0, 10)
        }`
        : `texts: ${left.text}, ${right.text}`,
    ];
  }
  return left.windows === right.windows &&
      left.windowTokens === right.windowTokens
    ? []
    : [
      `windows: ${left.windows} of ${left.windowTokens}, ${right.windows} of ${right.windowTokens}`,
    ];
}

function windowsOf(record: CellRecord) {
  return record.measure === "perplexity" || record.measure === "divergence"
    ? record.metrics
    : undefined;
}

/** "100 requests of 512 + 512 tokens" */
function workloadOf({ requests }: ThroughputMetrics): string {
  if (requests === undefined) return "decode";
  const { count, inputTokens, outputTokens } = requests;
  return `${count} requests of ${inputTokens} + ${outputTokens} tokens`;
}

/** The adapter, else the processor; what is not recorded is equal to nothing known. */
function machineOf({ environment }: Surroundings, cell: CellRecord): string {
  if (cell.engine.adapter !== undefined) return cell.engine.adapter;
  const cpu = environment?.["cpu"] as
    | { readonly model?: unknown; readonly cores?: unknown }
    | undefined;
  return typeof cpu?.model === "string"
    ? `${cpu.model}, ${cpu.cores} cores`
    : "not recorded";
}

/** The text that the experiment is calibrated on, where its sha256 is recorded. */
function calibrationText(
  { experiment, environment }: Surroundings,
): { readonly name: string; readonly sha256: string } | undefined {
  const calibration = experiment?.["calibration"];
  const name = isObject(calibration) ? calibration["text"] : undefined;
  const texts = environment?.["texts"];
  const found = (Array.isArray(texts) ? texts : []).find((text) =>
    isObject(text) && text["name"] === name
  )?.["sha256"];
  return typeof name === "string" && typeof found === "string"
    ? { name, sha256: found }
    : undefined;
}

/** "brown/calibration, 128 of 256 tokens, seed 42, 2 passes" */
function calibrationOf(
  { experiment }: Surroundings,
  { calibrationSeed }: CellRecord,
): string | undefined {
  const calibration = experiment?.["calibration"];
  if (!isObject(calibration)) return undefined;
  const { text, samples, tokens, seed, passes } = calibration;
  return `${text}, ${samples} of ${tokens} tokens, seed ${
    calibrationSeed ?? seed
  }, ${passes} ${passes === 1 ? "pass" : "passes"}`;
}
