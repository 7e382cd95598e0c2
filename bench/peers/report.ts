// What bench peers found, for people and for programs.

import { formatTable } from "../../src/cli/terminal.ts";
import type { Machine } from "../../src/experiment/machine.ts";
import type { Comparison, Findings, Runs } from "./comparison.ts";
import { VARIANTS } from "./job.ts";
import type { PeerSettings } from "./settings.ts";

/** Everything that is written as JSON. */
export interface PeerReport extends Findings {
  readonly schemaVersion: 1;
  /** Without what names a place on the machine. */
  readonly settings: Omit<PeerSettings, "python" | "json">;
  /** Git commit of the suite, where known. */
  readonly commit?: string;
  readonly weightsSha256: string;
  readonly machine: Machine;
  /** Processors of each lane; what runs alone has the first. */
  readonly lanes: readonly (readonly number[])[];
  readonly versions: Readonly<Record<string, string>>;
  /** Figures of the official code itself, where these settings are its. */
  readonly published: Readonly<Record<string, number>>;
  readonly wallSeconds: number;
  readonly runs: Runs;
}

const NAMES: Readonly<Record<Comparison["name"], string>> = {
  window: "a window of 2048 tokens",
  twoPasses: `${VARIANTS.length} variants, passes: 2`,
  onePass: `${VARIANTS.length} variants, passes: 1`,
  memory: "peak memory of these",
};

/** The report as text. */
export function describePeers(report: PeerReport): string {
  const { settings, machine, versions, lanes, calibration } = report;
  const { official } = report;
  const lines = [
    `${settings.model} on ${machine.cpu}: ${settings.threads} threads, processors ${
      lanes[0]!.join(", ")
    }${
      lanes.length > 1
        ? `; the official variants in ${lanes.length} lanes of as many`
        : ""
    }`,
    Object.entries(versions).map((pair) => pair.join(" ")).join(", "),
    `${settings.text}: ${settings.samples} x 256 tokens of calibration, ${settings.windows} windows`,
    "",
    formatTable(
      ["", "official", "ours", "ratio", "asked", ""],
      report.comparisons.map((line) => [
        NAMES[line.name],
        amount(line, line.official, line.extrapolated),
        amount(line, line.ours),
        `${line.ratio.toFixed(2)}x`,
        `${line.target}x`,
        line.met ? "met" : "missed",
      ]),
    ),
  ];
  if (official.variants < VARIANTS.length) {
    lines.push(
      `~ extrapolated: ${official.variants} of ${VARIANTS.length} variants were run, the others taken to be as long`,
    );
  }
  lines.push(
    "",
    `calibration, tokens/s: transformers alone ${
      calibration.plain.toFixed(0)
    }, with hooks ${calibration.hooked.toFixed(0)} (${
      percent(calibration.share)
    }, ${calibration.fair ? "no straw man" : "a STRAW MAN"})`,
    `  official procedure: ${
      calibration.original.toFixed(0)
    } on the original, ${
      calibration.partialRope.toFixed(0)
    } with partial RoPE; ours ${calibration.ours.toFixed(0)}`,
    `a variant, official: ${
      Object.entries(official.stageSeconds).map(([name, seconds]) =>
        `${name} ${seconds.toFixed(1)} s`
      ).join(", ")
    }; ${(official.openBytes / 1e9).toFixed(2)} GB before any work`,
    ...(["twoPasses", "onePass"] as const).map((name) => {
      const ours = report.ours[name];
      return `ours, ${name === "twoPasses" ? "passes: 2" : "passes: 1"}: ${
        ours.calibrationSeconds.toFixed(1)
      } s in ${ours.calibrationRuns} calibrations, ${
        ours.conversionSeconds.toFixed(1)
      } s in ${VARIANTS.length} conversions`;
    }),
    "",
    formatTable(
      ["perplexity", "official", "ours", "difference", "", "official code"],
      report.checks.map((check) => [
        check.model,
        check.official.toFixed(4),
        check.ours.toFixed(4),
        check.relativeDifference.toExponential(1),
        check.agrees ? "agrees" : "DIFFERS",
        report.published[check.model]?.toFixed(4) ?? "",
      ]),
    ),
    "",
    `in ${report.wallSeconds.toFixed(0)} s`,
  );
  return lines.join("\n");
}

function amount(
  { unit }: Comparison,
  value: number,
  extrapolated = false,
): string {
  const text = unit === "s"
    ? `${value.toFixed(value < 10 ? 2 : 1)} s`
    : `${(value / 1e9).toFixed(2)} GB`;
  return extrapolated ? `~${text}` : text;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
