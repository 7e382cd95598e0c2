// Every kernel with the cases it is checked and timed on.

import { argmaxEntry } from "./cases/argmax_cases.ts";
import { absorbEntry } from "./cases/absorb_cases.ts";
import { absorbStoreEntry } from "./cases/absorb_store_cases.ts";
import { attentionDecodeEntry } from "./cases/attention_decode_cases.ts";
import { attentionDecodeMatrixEntry } from "./cases/attention_decode_matrix_cases.ts";
import { attentionMergeEntry } from "./cases/attention_merge_cases.ts";
import { attentionPrefillEntry } from "./cases/attention_prefill_cases.ts";
import { attentionPrefillMatrixEntry } from "./cases/attention_prefill_matrix_cases.ts";
import { attentionSumsEntry } from "./cases/attention_sums_cases.ts";
import { rotateStoreEntry } from "./cases/rotate_store_cases.ts";
import { crossEntropyEntry } from "./cases/cross_entropy_cases.ts";
import { divergenceEntry } from "./cases/divergence_cases.ts";
import { gramEntry } from "./cases/gram_cases.ts";
import { embedEntry } from "./cases/embed_cases.ts";
import { fillEntry } from "./cases/fill_cases.ts";
import { gatedSiluEntry } from "./cases/gated_silu_cases.ts";
import { gemmEntry } from "./cases/gemm_cases.ts";
import { gemvEntry } from "./cases/gemv_cases.ts";
import { linearEntry } from "./cases/linear_cases.ts";
import { rmsNormEntry } from "./cases/rms_norm_cases.ts";
import type { KernelEntry } from "./cases/kernel_case.ts";

/** The kernels. */
export const KERNELS: readonly KernelEntry[] = [
  argmaxEntry,
  crossEntropyEntry,
  divergenceEntry,
  gramEntry,
  embedEntry,
  fillEntry,
  gatedSiluEntry,
  gemmEntry,
  gemvEntry,
  linearEntry,
  rmsNormEntry,
  absorbEntry,
  absorbStoreEntry,
  attentionDecodeEntry,
  attentionDecodeMatrixEntry,
  attentionMergeEntry,
  attentionPrefillEntry,
  attentionPrefillMatrixEntry,
  attentionSumsEntry,
  rotateStoreEntry,
];
