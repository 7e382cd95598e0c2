// Progress on standard error: a bar with rate and time left on a terminal,
// plain lines a few seconds apart elsewhere, nothing when quiet.

import { formatSeconds, isInteractive, noteRaw } from "./terminal.ts";

/** Widest and narrowest bar, in columns; where less is left, there is none. */
const BAR_COLUMNS = { most: 20, least: 5 } as const;

/** Seconds between plain lines of one stage. */
const LINE_SECONDS = 10;

/** How progress is shown. */
export type ProgressMode = "bar" | "lines" | "none";

/** Shows one piece of work at a time. */
export class Progress {
  readonly #mode: ProgressMode;
  #title = "";
  #stage = "";
  #stageStarted = 0;
  #lastDrawn = 0;
  #drawn = false;

  /** @param mode By default a bar on a terminal, else lines. */
  constructor(mode: ProgressMode = isInteractive() ? "bar" : "lines") {
    this.#mode = mode;
  }

  /** Begins a piece of work: "[3/24] transmla F4 m32 r88 bkv perplexity 2048". */
  begin(title: string): void {
    this.#title = title;
    this.#stage = "";
    this.#draw(`${title} ...`, true);
  }

  /**
   * Shows how far a stage is.
   *
   * @param stage "calibrate"
   * @param done Of `total`.
   * @param total In any unit.
   */
  update(stage: string, done: number, total: number): void {
    const now = performance.now();
    if (stage !== this.#stage) {
      this.#stage = stage;
      this.#stageStarted = now;
      this.#lastDrawn = now;
    }
    const seconds = (now - this.#stageStarted) / 1000;
    const interval = this.#mode === "bar" ? 0.1 : LINE_SECONDS;
    if ((now - this.#lastDrawn) / 1000 < interval && done < total) return;
    if (this.#mode === "lines" && (seconds < LINE_SECONDS || done >= total)) {
      return;
    }
    this.#lastDrawn = now;
    const rate = seconds > 0 ? done / seconds : 0;
    const left = rate > 0 ? formatSeconds((total - done) / rate) : "?";
    const share = total > 0 ? done / total : 0;
    const numbers = `${done}/${total}` +
      (rate > 0 ? `, ${formatRate(rate)}, ${left} left` : "");
    this.#draw(
      this.#mode === "bar"
        ? withBar(`${this.#title}  `, share, `${stage} ${numbers}`)
        : `${this.#title}: ${stage} ${numbers}`,
      false,
    );
  }

  /** Removes the bar, so that a line can be written; update() draws it again. */
  clear(): void {
    if (!this.#drawn) return;
    noteRaw("\r\x1b[K");
    this.#drawn = false;
  }

  #draw(text: string, begins: boolean): void {
    if (this.#mode === "none") return;
    if (this.#mode === "lines") {
      if (!begins) noteRaw(`${text}\n`);
      return;
    }
    const { columns } = consoleSize();
    const cut = text.length < columns ? text : `${text.slice(0, columns - 2)}…`;
    noteRaw(`\r\x1b[K${cut}`);
    this.#drawn = true;
  }
}

/** A line with a bar as wide as the terminal leaves: the numbers matter more. */
function withBar(title: string, share: number, numbers: string): string {
  const left = consoleSize().columns - 2 - title.length - numbers.length;
  const width = Math.min(BAR_COLUMNS.most, left);
  if (width < BAR_COLUMNS.least) return `${title}${numbers}`;
  const full = Math.round(Math.max(0, Math.min(1, share)) * width);
  return `${title}${"█".repeat(full)}${"░".repeat(width - full)} ${numbers}`;
}

function formatRate(perSecond: number): string {
  return perSecond >= 1
    ? `${perSecond.toFixed(1)}/s`
    : `${formatSeconds(1 / perSecond)} each`;
}

function consoleSize(): { columns: number } {
  try {
    const { columns } = Deno.consoleSize();
    // Some terminals do not say how wide they are.
    return { columns: columns > 0 ? columns : 80 };
  } catch {
    return { columns: 80 };
  }
}
