// How calibration text is sampled; part of every cache key and record.

/** Sampling of calibration sequences, the official procedure's parameters. */
export interface CalibrationOptions {
  /** Text name, for instance "wikitext-2/validation". */
  readonly text: string;
  /** Sequences. @default 128 */
  readonly samples: number;
  /** Tokens of each sequence. @default 256 */
  readonly tokens: number;
  /** @default 42 */
  readonly seed: number;
  /** 1: moments of the original only. 2: again on the partial-RoPE model, the official behaviour. @default 2 */
  readonly passes: 1 | 2;
}
