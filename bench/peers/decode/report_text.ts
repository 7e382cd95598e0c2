// The report of bench decode as text.

import { formatTable } from "../../../src/cli/terminal.ts";
import { caseName } from "./cases.ts";
import type { PrefillEvent } from "./events.ts";
import {
  type CaseRow,
  type DecodeReport,
  eventsOf,
  type SideName,
} from "./report.ts";

/** The report as text. */
export function describeDecode(report: DecodeReport): string {
  const { settings, gpu, machine, sides, copyBytesPerSecond } = report;
  const lines = [
    `${settings.model} on ${
      gpu === undefined ? machine.cpu : `${gpu.name}, driver ${gpu.driver}`
    }`,
  ];
  if (copyBytesPerSecond !== undefined) {
    lines.push(
      `copy ${(copyBytesPerSecond / 1e9).toFixed(0)} GB/s, the limit's speed`,
    );
  }
  for (const { side, event } of eventsOf(sides, "product")) {
    lines.push(
      `${side}: matrix product ${tflops(event.flopsPerSecond)} TFLOPS`,
    );
  }
  lines.push(...checkLines(report));
  if (report.rows.length > 0) lines.push("", speedTable(report));
  if (report.mlaRatios.length > 0) lines.push("", ratioTable(report));
  lines.push(...formLines(report), ...kernelLines(report));
  lines.push(...prefillLines(report), ...scoreLines(report));
  lines.push(...failureLines(report));
  lines.push("", `in ${report.wallSeconds.toFixed(0)} s`);
  return lines.join("\n");
}

function timedSides({ rows }: DecodeReport): SideName[] {
  return (["torch", "dawn", "deno"] as const).filter((side) =>
    rows.some((row) =>
      row.speeds[side] !== undefined || row.errors[side] !== undefined
    )
  );
}

/** Milliseconds a step, and for ours the ratio to torch's speed. */
function speedTable(report: DecodeReport): string {
  const sides = timedSides(report);
  const header = [
    "step",
    "limit ms",
    ...sides.flatMap((side) => [
      `${side} ms`,
      "tok/s",
      "of limit",
      ...(side === "torch" ? ["form"] : ["x torch"]),
    ]),
  ];
  return formatTable(
    header,
    report.rows.map((row) => [
      caseName(row.case),
      row.limitSeconds === undefined ? "" : ms(row.limitSeconds),
      ...sides.flatMap((side) => speedCells(row, side)),
    ]),
  );
}

function speedCells(row: CaseRow, side: SideName): string[] {
  const speed = row.speeds[side];
  if (speed === undefined) {
    return [row.errors[side] === undefined ? "" : "-", "", "", ""];
  }
  const { seconds, tokensPerSecond, fraction, ratio, form } = speed;
  return [
    ms(seconds),
    tokensPerSecond.toFixed(tokensPerSecond < 1000 ? 1 : 0),
    Number.isNaN(fraction) ? "" : `${(100 * fraction).toFixed(1)} %`,
    side === "torch" ? form ?? "" : ratio === undefined ? "" : times(ratio),
  ];
}

function ratioTable(report: DecodeReport): string {
  const sides = timedSides(report);
  return formatTable(
    ["MLA over original, tok/s", "load", "batches", ...sides],
    report.mlaRatios.map(({ context, load, batches, ratios }) => [
      `${context} tokens`,
      load === "one" ? "one sequence" : "24 GiB x 0.9",
      `${batches[1]} : ${batches[0]}`,
      ...sides.map((side) =>
        ratios[side] === undefined ? "" : times(ratios[side])
      ),
    ]),
  );
}

function checkLines({ sides }: DecodeReport): string[] {
  return [
    ...eventsOf(sides, "check").map(({ side, event }) =>
      `${side}: greedy tokens of ${event.kind}, ${event.dtype}, batch ${event.batch}: ${
        event.equalSteps === event.steps
          ? `all ${event.steps} steps equal`
          : `equal for ${event.equalSteps} of ${event.steps} steps, then a lead of ${
            event.gap?.toPrecision(2)
          } deviations`
      }: ${event.holds ? "holds" : "DOES NOT HOLD"}`
    ),
    ...eventsOf(sides, "checkFailed").map(({ side, event }) =>
      `${side}: greedy tokens of ${event.kind}, ${event.dtype}: FAILED: ${event.error}`
    ),
  ];
}

/** Every form of torch's attention. */
function formLines({ sides }: DecodeReport): string[] {
  const cases = eventsOf(sides, "peerCase");
  if (cases.length === 0) return [];
  const rows = cases.flatMap(({ event }) =>
    event.forms.map((form) => [
      caseName(event.case),
      form.form,
      "seconds" in form ? ms(form.seconds) : "-",
      "seconds" in form
        ? [form.tuned, form.residual].filter((part) => part !== undefined)
          .join(", ")
        : form.error,
    ])
  );
  return ["", formatTable(["torch", "attention", "ms", ""], rows)];
}

function kernelLines({ sides }: DecodeReport): string[] {
  return eventsOf(sides, "ourCase").flatMap(({ side, event }) => {
    if (event.kernels === undefined) {
      return event.profileError === undefined ? [] : [
        `${side}: ${caseName(event.case)}: no profile: ${event.profileError}`,
      ];
    }
    const rows = event.kernels.toSorted((a, b) => b.seconds - a.seconds).map((
      { name, dispatches, seconds, bytes, flops },
    ) => [
      name,
      `${dispatches}`,
      ms(seconds),
      seconds > 0 ? (bytes / seconds / 1e9).toFixed(0) : "-",
      seconds > 0 ? (flops / seconds / 1e12).toFixed(1) : "-",
    ]);
    const title = `${side} ${caseName(event.case)}`;
    return [
      "",
      formatTable([title, "dispatches", "ms", "GB/s", "TFLOPS"], rows),
    ];
  });
}

/** FLOP a second of all linear layers together. */
export function productRate({ products }: PrefillEvent): number {
  const all = Object.values(products);
  const sum = (key: "flops" | "seconds") =>
    all.reduce((total, product) => total + product[key], 0);
  return sum("flops") / sum("seconds");
}

function prefillLines({ sides }: DecodeReport): string[] {
  return eventsOf(sides, "prefill").flatMap(({ side, event }) => [
    "",
    `${side}: linear layers over ${event.tokens} tokens: ${
      tflops(productRate(event))
    } TFLOPS`,
    ...Object.entries(event.products).map(([name, { seconds, flops }]) =>
      `  ${name}: ${ms(seconds)} ms a layer, ${tflops(flops / seconds)} TFLOPS`
    ),
  ]);
}

function scoreLines({ sides }: DecodeReport): string[] {
  const rows = eventsOf(sides, "score").flatMap(({ side, event }) =>
    event.batches.map(({ batch, tokensPerSecond, perplexity }) => [
      side,
      `${event.windows} x ${event.windowTokens}`,
      `${batch}`,
      tokensPerSecond.toFixed(0),
      perplexity.toFixed(4),
    ])
  );
  if (rows.length === 0) return [];
  return [
    "",
    formatTable(
      ["scoring", "windows", "a call", "tokens/s", "perplexity"],
      rows,
    ),
  ];
}

function failureLines({ sides, rows }: DecodeReport): string[] {
  const lines = [
    ...rows.flatMap((row) =>
      Object.entries(row.errors).map(([side, error]) =>
        `${side}: ${caseName(row.case)} failed: ${error}`
      )
    ),
    ...eventsOf(sides, "workFailed").map(({ side, event }) =>
      `${side}: ${event.work} failed: ${event.error}`
    ),
    ...sides.flatMap(({ side, error }) =>
      error === undefined ? [] : [`${side}: ${error}`]
    ),
  ];
  return lines.length === 0 ? [] : ["", ...lines];
}

function ms(seconds: number): string {
  const value = seconds * 1000;
  return value.toFixed(value < 1 ? 4 : 3);
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)}x`;
}

function tflops(rate: number): string {
  return (rate / 1e12).toFixed(rate < 1e12 ? 3 : 1);
}
