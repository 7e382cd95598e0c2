// What the two sides are asked, as JSON.

import { z } from "zod";
import type { GpuProvider } from "../../../src/engine/webgpu/device/gpu.ts";
import type { ModelConfig } from "../../../src/model/config.ts";
import type { CaseKind, DecodeCase, MlaWidths } from "./cases.ts";

/** What torch_decode.py is asked. */
export interface PeerJob {
  readonly config: ModelConfig;
  readonly mla: MlaWidths;
  readonly cases: readonly DecodeCase[];
  /** Steps of each form of a case. */
  readonly steps: number;
  /** Tokens; 0: none. */
  readonly prefill: number;
  readonly device: "cuda" | "cpu";
}

/** What is scored, by whom. */
export interface ScoreJob {
  /** Ours: what openModel() takes. Theirs: a Hugging Face folder. */
  readonly model: string;
  /** A file of token ids as JSON, windows of equal length. */
  readonly windows: string;
  readonly device: "cuda" | "cpu";
}

/** What ours.ts is asked. */
export interface OurJob {
  readonly model: string;
  readonly provider: GpuProvider;
  readonly dtype: "f16" | "f32";
  readonly mla: MlaWidths;
  readonly cases: readonly DecodeCase[];
  readonly steps: number;
  readonly repetitions: number;
  readonly profile: boolean;
  /** Files of the reference engine's runs, by kind; empty: nothing is checked. */
  readonly references: Readonly<Partial<Record<CaseKind, readonly string[]>>>;
  readonly prefill: number;
  readonly software: boolean;
  readonly score?: ScoreJob;
}

/** What references.ts is asked. */
export interface ReferencesJob {
  readonly mla: MlaWidths;
  readonly kinds: readonly CaseKind[];
  /** Files are written there. */
  readonly folder: string;
}

/** Files that references.ts has written. */
export const REFERENCES = z.object({
  original: z.array(z.string()).optional(),
  mla: z.array(z.string()).optional(),
}).transform(({ original, mla }) => ({
  ...(original === undefined ? {} : { original }),
  ...(mla === undefined ? {} : { mla }),
}));

/** Windows that are scored in one call; the fastest counts. */
export const SCORE_BATCHES = [1, 4, 8, 16];

/** Ids of a ScoreJob's file. */
export const WINDOWS = z.array(z.array(z.int().nonnegative())).min(1);
