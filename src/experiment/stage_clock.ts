// Where a cell's time goes.

/** What a cell's time goes into; what is left of it is tokenizing, prompts, theory. */
export const CELL_STAGES = [
  "calibration",
  "conversion",
  "opening",
  "measuring",
] as const;

/** A name of CELL_STAGES. */
export type CellStage = (typeof CELL_STAGES)[number];

/** Wall seconds by stage; a stage that the cell did not enter is absent. */
export type StageSeconds = Readonly<Partial<Record<CellStage, number>>>;

/** Sums up wall seconds by stage. A stage within another is taken out of it. */
export class StageClock {
  readonly #seconds = new Map<CellStage, number>();
  readonly #entered: CellStage[] = [];
  readonly #now: () => number;
  #since = 0;

  /** @param now Milliseconds. @default performance.now */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Seconds so far. */
  get seconds(): StageSeconds {
    return Object.fromEntries(
      CELL_STAGES.filter((stage) => this.#seconds.has(stage))
        .map((stage) => [stage, this.#seconds.get(stage)]),
    );
  }

  /** Forgets what was. */
  reset(): void {
    this.#seconds.clear();
    this.#entered.length = 0;
  }

  /**
   * Does work and charges its time to a stage, also where it fails.
   *
   * @param stage The stage.
   * @param work What to do.
   */
  async time<T>(stage: CellStage, work: () => Promise<T>): Promise<T> {
    this.#charge();
    this.#entered.push(stage);
    try {
      return await work();
    } finally {
      this.#charge();
      this.#entered.pop();
    }
  }

  #charge(): void {
    const now = this.#now();
    const stage = this.#entered.at(-1);
    if (stage !== undefined) {
      const seconds = this.#seconds.get(stage) ?? 0;
      this.#seconds.set(stage, seconds + (now - this.#since) / 1000);
    }
    this.#since = now;
  }
}
