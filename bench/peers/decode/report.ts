// What bench decode found: the sides' own words, and what follows from them.

import type { Machine } from "../../../src/experiment/machine.ts";
import type { ModelConfig } from "../../../src/model/config.ts";
import {
  type CaseKind,
  caseName,
  type DecodeCase,
  fillsBudget,
  stepBytes,
} from "./cases.ts";
import { type DecodeEvent, fastestForm } from "./events.ts";
import type { DecodeSettings } from "./settings.ts";

/** "torch", "transformers", or a provider of ours. */
export type SideName = "torch" | "transformers" | "deno" | "dawn";

/** One side's run. */
export interface SideReport {
  readonly side: SideName;
  readonly wallSeconds: number;
  /** What went wrong outside of its cases. */
  readonly error?: string;
  readonly events: readonly DecodeEvent[];
}

/** A side's speed on a case. */
export interface Speed {
  readonly seconds: number;
  readonly tokensPerSecond: number;
  /** Of what the bytes alone allow, in the element type of the side. */
  readonly fraction: number;
  /** torch's seconds over these; of torch, 1. */
  readonly ratio?: number;
  /** torch: the fastest form of attention. */
  readonly form?: string;
}

/** One case, all sides. */
export interface CaseRow {
  readonly case: DecodeCase;
  readonly stepBytes: number;
  /** stepBytes, those of f16, at the run's copy speed; absent where none was measured. */
  readonly limitSeconds?: number;
  readonly speeds: Readonly<Partial<Record<SideName, Speed>>>;
  readonly errors: Readonly<Partial<Record<SideName, string>>>;
}

/** How many times the original's tokens a second MLA has at a context. */
export interface MlaRatio {
  readonly context: number;
  /** One sequence each, or as many as 24 GiB x 0.9 hold, about. */
  readonly load: "one" | "budget";
  readonly batches: readonly [original: number, mla: number];
  readonly ratios: Readonly<Partial<Record<SideName, number>>>;
}

/** Everything that is written as JSON. */
export interface DecodeReport {
  readonly schemaVersion: 1;
  /** ISO 8601. */
  readonly date: string;
  readonly commit?: string;
  /** Without what names a place on the machine. */
  readonly settings: Omit<DecodeSettings, "python" | "out">;
  readonly machine: Machine;
  readonly gpu?: { readonly name: string; readonly driver: string };
  /** The highest of all sides. */
  readonly copyBytesPerSecond?: number;
  readonly wallSeconds: number;
  readonly rows: readonly CaseRow[];
  readonly mlaRatios: readonly MlaRatio[];
  readonly sides: readonly SideReport[];
}

/**
 * Compares what the sides have found so far.
 *
 * @param settings What was asked.
 * @param config Sizes of the model.
 * @param sides Their runs.
 */
export function findings(
  settings:
    & Pick<DecodeSettings, "cases" | "mla">
    & Partial<Pick<DecodeSettings, "dtype" | "peerDevice">>,
  config: ModelConfig,
  sides: readonly SideReport[],
): Pick<DecodeReport, "copyBytesPerSecond" | "rows" | "mlaRatios"> {
  const copies = sides.flatMap(({ events }) =>
    events.flatMap((event) =>
      event.event === "copy" ? [event.bytesPerSecond] : []
    )
  );
  const copy = copies.length === 0 ? undefined : Math.max(...copies);
  const rows = settings.cases.map((one) =>
    rowOf(
      one,
      stepBytes(config, settings.mla, one),
      copy,
      sides,
      (side) => (isWide(settings, side) ? 2 : 1),
    )
  );
  const fills = (one: DecodeCase) => fillsBudget(config, settings.mla, one);
  return {
    ...(copy === undefined ? {} : { copyBytesPerSecond: copy }),
    rows,
    mlaRatios: ratiosOf(rows, fills),
  };
}

/** Whether a side computes in f32. */
function isWide(
  { dtype, peerDevice }: Partial<Pick<DecodeSettings, "dtype" | "peerDevice">>,
  side: SideName,
): boolean {
  const isOurs = side === "deno" || side === "dawn";
  return isOurs ? dtype === "f32" : peerDevice === "cpu";
}

function rowOf(
  one: DecodeCase,
  bytes: number,
  copy: number | undefined,
  sides: readonly SideReport[],
  /** Bytes of a side's elements over those of f16. */
  widthOf: (side: SideName) => number,
): CaseRow {
  const limit = copy === undefined ? undefined : bytes / copy;
  const speeds: Partial<Record<SideName, Speed>> = {};
  const errors: Partial<Record<SideName, string>> = {};
  for (const { side, events } of sides) {
    const found = events.find((event) =>
      "case" in event && event.event !== "begin" &&
      caseName(event.case) === caseName(one)
    );
    if (found === undefined) continue;
    const time = timeOf(found);
    if (typeof time === "string") {
      errors[side] = time;
      continue;
    }
    speeds[side] = {
      ...time,
      tokensPerSecond: one.batch / time.seconds,
      fraction: limit === undefined
        ? NaN
        : widthOf(side) * limit / time.seconds,
    };
  }
  const peer = speeds.torch;
  for (const [side, speed] of Object.entries(speeds)) {
    if (peer === undefined) continue;
    const ratio = peer.seconds / speed.seconds;
    speeds[side as SideName] = { ...speed, ratio };
  }
  return {
    case: one,
    stepBytes: bytes,
    ...(limit === undefined ? {} : { limitSeconds: limit }),
    speeds,
    errors,
  };
}

function timeOf(
  event: DecodeEvent,
): { seconds: number; form?: string } | string {
  switch (event.event) {
    case "ourCase":
      return { seconds: event.seconds };
    case "peerCase": {
      const form = fastestForm(event);
      if (form !== undefined) {
        return { seconds: form.seconds, form: form.form };
      }
      const [first] = event.forms;
      return first !== undefined && "error" in first ? first.error : "no form";
    }
    case "failed":
      return event.error;
    default:
      throw new TypeError(`${event.event} is no case`);
  }
}

function ratiosOf(
  rows: readonly CaseRow[],
  fills: (one: DecodeCase) => boolean,
): MlaRatio[] {
  const contexts = [...new Set(rows.map((row) => row.case.context))]
    .toSorted((a, b) => a - b);
  const found: MlaRatio[] = [];
  for (const load of ["one", "budget"] as const) {
    for (const context of contexts) {
      const largest = (kind: CaseKind) =>
        rows.filter((row) =>
          row.case.kind === kind && row.case.context === context &&
          (load === "one" ? row.case.batch === 1 : fills(row.case))
        ).toSorted((a, b) => b.case.batch - a.case.batch)[0];
      const original = largest("original");
      const mla = largest("mla");
      if (original === undefined || mla === undefined) continue;
      const batches = [original.case.batch, mla.case.batch] as const;
      if (load === "budget" && batches.every((batch) => batch === 1)) continue;
      const ratios: Partial<Record<SideName, number>> = {};
      for (const side of ["torch", "dawn", "deno"] as const) {
        const [from, to] = [original.speeds[side], mla.speeds[side]];
        if (from === undefined || to === undefined) continue;
        ratios[side] = to.tokensPerSecond / from.tokensPerSecond;
      }
      found.push({ context, load, batches, ratios });
    }
  }
  return found;
}

/** Events of one kind, of all sides. */
export function eventsOf<Name extends DecodeEvent["event"]>(
  sides: readonly SideReport[],
  name: Name,
): { side: SideName; event: Extract<DecodeEvent, { event: Name }> }[] {
  return sides.flatMap(({ side, events }) =>
    events.filter((event): event is Extract<DecodeEvent, { event: Name }> =>
      event.event === name
    ).map((event) => ({ side, event }))
  );
}

/** Whether everything that was asked for was done and is right. */
export function isComplete({ sides, rows }: DecodeReport): boolean {
  return sides.every(({ error, events }) =>
    error === undefined &&
    events.every((event) =>
      event.event !== "checkFailed" && event.event !== "workFailed" &&
      (event.event !== "check" || event.holds)
    )
  ) && rows.every(({ errors }) => Object.keys(errors).length === 0);
}
