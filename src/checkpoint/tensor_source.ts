// What a weight file is to the rest of the suite: named tensors, read one at a
// time. Knows no transformer.

import type { Tensor } from "../base/tensor.ts";

/** What is known of a stored tensor before it is read. */
export interface TensorInfo {
  readonly name: string;
  readonly shape: readonly number[];
  /** As the file names it, upper case: "F32", "BF16", "Q4_1", ... */
  readonly storedType: string;
}

/** Named tensors of one checkpoint, read lazily and widened to f32. */
export interface TensorSource {
  /** All tensors, in file order. */
  list(): readonly TensorInfo[];
  has(name: string): boolean;
  /**
   * Reads one tensor.
   *
   * @throws {CheckpointError} If it is missing, out of the file's range or holds NaN or infinity.
   */
  read(name: string): Promise<Tensor>;
  close(): void;
}

/** An opened checkpoint: raw configuration, tensors, tokenizer, identity. */
export interface Checkpoint {
  /** As the user named it: alias, hub id, path. */
  readonly id: string;
  /** "safetensors" or "gguf". */
  readonly format: "safetensors" | "gguf";
  /** The configuration in the keys of Hugging Face's config.json (a GGUF's metadata is translated to them). */
  readonly configJson: Readonly<Record<string, unknown>>;
  /** Tensors under Hugging Face's names (`model.layers.0.self_attn.q_proj.weight`), a GGUF's permutations undone. */
  readonly tensors: TensorSource;
  /** tokenizer.json's content (built from the metadata for a GGUF), or undefined where the checkpoint has none. */
  readonly tokenizerJson?: Readonly<Record<string, unknown>>;
  /** Hex sha256 over the weight files in name order (of the file itself if there is one). */
  readonly sha256: string;
  /** Weight files with their sha256, in name order. */
  readonly files: readonly {
    readonly name: string;
    readonly bytes: number;
    readonly sha256: string;
    /** When it was last changed, milliseconds since 1970. */
    readonly modifiedMs?: number;
  }[];
}
