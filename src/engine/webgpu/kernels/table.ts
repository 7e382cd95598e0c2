// Every kernel with the cases it is checked and timed on.

import { argmaxEntry } from "./argmax_cases.ts";
import { absorbEntry } from "./absorb_cases.ts";
import { attentionDecodeEntry } from "./attention_decode_cases.ts";
import { attentionMergeEntry } from "./attention_merge_cases.ts";
import { attentionPrefillEntry } from "./attention_prefill_cases.ts";
import { attentionSumsEntry } from "./attention_sums_cases.ts";
import { rotateStoreEntry } from "./rotate_store_cases.ts";
import { crossEntropyEntry } from "./cross_entropy_cases.ts";
import { gramEntry } from "./gram_cases.ts";
import { embedEntry } from "./embed_cases.ts";
import { gatedSiluEntry } from "./gated_silu_cases.ts";
import { gemmEntry } from "./gemm_cases.ts";
import { gemvEntry } from "./gemv_cases.ts";
import { linearEntry } from "./linear_cases.ts";
import { rmsNormEntry } from "./rms_norm_cases.ts";
import type { KernelEntry } from "./kernel_case.ts";

/** The kernels. */
export const KERNELS: readonly KernelEntry[] = [
  argmaxEntry,
  crossEntropyEntry,
  gramEntry,
  embedEntry,
  gatedSiluEntry,
  gemmEntry,
  gemvEntry,
  linearEntry,
  rmsNormEntry,
  absorbEntry,
  attentionDecodeEntry,
  attentionMergeEntry,
  attentionPrefillEntry,
  attentionSumsEntry,
  rotateStoreEntry,
];
