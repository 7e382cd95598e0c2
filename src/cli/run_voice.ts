// How a run speaks: a bar, lines, JSON lines, or not at all.

import type { RunEvent } from "../experiment/run_options.ts";
import type { Load, ThroughputMetrics } from "../experiment/record.ts";
import { loadText } from "../experiment/throughput_measure.ts";
import { isUntimed } from "../experiment/untimed.ts";
import { Progress } from "./progress.ts";
import { type Flags, formatSeconds, note, paint } from "./terminal.ts";

/** Tells the run's events in the way that was asked for. */
export class RunVoice {
  readonly #json: boolean;
  readonly #quiet: boolean;
  readonly #verbose: boolean;
  readonly #limit: number;
  readonly #progress: Progress;

  constructor(flags: Flags) {
    this.#limit = Number(flags["limit"] ?? Infinity);
    this.#json = flags["log-format"] === "json";
    this.#quiet = Boolean(flags.quiet);
    this.#verbose = Boolean(flags.verbose);
    this.#progress = this.#json || this.#quiet
      ? new Progress("none")
      : new Progress();
  }

  say(message: string): void {
    if (this.#quiet) return;
    if (this.#json) return this.#line({ type: "log", level: "info", message });
    this.#progress.clear();
    note(message);
  }

  warn(message: string): void {
    if (this.#json) return this.#line({ type: "log", level: "warn", message });
    this.#progress.clear();
    note(paint(message, "yellow"));
  }

  download(done: number, total: number, what: string): void {
    if (this.#json) {
      return this.#line({
        type: "progress",
        stage: `download ${what}`,
        done,
        total,
      });
    }
    this.#progress.update(`download ${what}`, done, total);
  }

  end(): void {
    this.#progress.clear();
  }

  event(event: RunEvent): void {
    if (this.#json) return this.#line(event);
    switch (event.type) {
      case "start":
        this.say(startMessage(event, this.#limit));
        break;
      case "cellStart":
        this.#progress.begin(
          `[${
            event.index + 1
          }/${event.total}] ${event.cell.variantLabel} ${event.cell.measure} ${
            event.cell.contextTokens ?? ""
          } ${loadOf(event.cell)}`.trimEnd(),
        );
        break;
      case "progress":
        this.#progress.update(event.stage, event.done, event.total);
        break;
      case "cellEnd": {
        const { record } = event;
        const status = record.status === "ok"
          ? paint("ok", "green")
          : paint(record.status, isUntimed(record) ? "yellow" : "red");
        this.say(
          `[${
            event.index + 1
          }/${event.total}] ${status} ${record.variantLabel} ${record.measure} ${
            record.contextTokens ?? ""
          } ${loadOf(record)} ${headline(event)} (${
            formatSeconds(record.wallSeconds)
          })`
            .replaceAll(/ {2,}/g, " "),
        );
        break;
      }
      case "log":
        if (event.level === "info" || this.#verbose) this.say(event.message);
        break;
      case "worker":
        if (this.#verbose) this.say(`engine process ${event.pid}`);
        break;
      default:
        event satisfies never;
    }
  }

  #line(value: unknown): void {
    note(
      JSON.stringify({ time: new Date().toISOString(), ...value as object }),
    );
  }
}

/**
 * What a run is about to do.
 *
 * @param event Cells of this call, and how many of them are there.
 * @param limit At most so many are measured now.
 */
export function startMessage(
  { runDir, cells, present }: Extract<RunEvent, { type: "start" }>,
  limit: number,
): string {
  const left = cells - present;
  const now = left > limit ? `, ${limit} of them now` : "";
  if (left === 0) {
    return `run folder ${runDir}: all ${cells} cells are there; nothing to measure (--force measures again)`;
  }
  return present === 0
    ? `run folder ${runDir}: ${cells} cells to measure${now}`
    : `run folder ${runDir}: ${present} of ${cells} cells are there; ${left} to measure${now} (--force measures all again)`;
}

function loadOf({ load }: { readonly load?: Load }): string {
  return load === undefined ? "" : `(${loadText(load)})`;
}

function speedText(
  { batchSize, decodeTokensPerSecond, requests }: ThroughputMetrics,
): string {
  const decode = `${decodeTokensPerSecond.toFixed(1)} tokens/s decode`;
  return requests === undefined
    ? `${decode}${batchSize === 1 ? "" : ` of ${batchSize} sequences`}`
    : `${requests.outputTokensPerSecond.toFixed(1)} tokens/s output, ${decode}`;
}

/** The one figure of a cell that a reader waits for. */
function headline({ record }: Extract<RunEvent, { type: "cellEnd" }>): string {
  // The reason is the same for all such cells, and is said once at the end.
  if (isUntimed(record)) return "not timed";
  if (record.metrics === undefined) return record.error ?? "";
  switch (record.measure) {
    case "perplexity":
      return `perplexity ${record.metrics!.value.toFixed(4)}`;
    case "divergence":
      return `KL ${record.metrics!.klNats.toFixed(4)} nats, top-1 ${
        (100 * record.metrics!.top1Agreement).toFixed(1)
      } %`;
    case "cache":
      return `${
        record.metrics!.elementsPerTokenPerLayer
      } numbers a token and layer`;
    case "throughput":
      return speedText(record.metrics!);
    case "conversion":
      return record.metrics!.calibrationCached &&
          record.metrics!.calibrationTokens > 0
        ? "calibration cached"
        : "";
  }
}
