// The converted attentions of a model, one a layer: in memory, or, of a model
// whose attentions together are too large for that, in a file that goes with the process.

import { join } from "node:path";
import type { Tensor } from "../base/tensor.ts";
import { CheckpointError } from "../base/errors.ts";
import { cacheFolder } from "../checkpoint/cache_folder.ts";
import type { Attention, Linear } from "../model/decoder.ts";

/** Attentions that are kept in memory take at most this. */
const BUDGET_BYTES = 256 * 2 ** 20;

/** A tensor in the file. */
interface Stored {
  readonly shape: readonly number[];
  readonly offset: number;
}

/** What replaces a field of an attention that is not in memory. */
type Field =
  | { readonly kind: "value"; readonly value: unknown }
  | { readonly kind: "original" }
  | { readonly kind: "tensor"; readonly tensor: Stored }
  | {
    readonly kind: "linear";
    readonly weight: Stored;
    readonly bias: Stored | undefined;
  };

/** A model has no end that anyone is told of: its file is closed when nobody holds it any more. */
const openFiles = new FinalizationRegistry<Deno.FsFile>((file) => file.close());

/** How a store keeps what it is given. */
export interface AttentionStoreOptions {
  /** @default 256 MiB */
  readonly budgetBytes?: number;
  /** Where its file is made. @default scratch/ of the suite's cache folder */
  readonly folder?: string;
}

/** Attentions by layer. */
export class AttentionStore {
  readonly #numLayers: number;
  readonly #budgetBytes: number;
  readonly #folder: string | undefined;
  readonly #kept = new Map<number, Attention>();
  readonly #spilled = new Map<number, ReadonlyMap<string, Field>>();
  #file: Deno.FsFile | undefined;
  #end = 0;

  /**
   * @param numLayers How many will come; they are taken to be about alike.
   * @param options How they are kept.
   */
  constructor(numLayers: number, options: AttentionStoreOptions = {}) {
    this.#numLayers = numLayers;
    this.#budgetBytes = options.budgetBytes ?? BUDGET_BYTES;
    this.#folder = options.folder;
  }

  /** Bytes in the file. */
  get spilledBytes(): number {
    return this.#end;
  }

  /**
   * Keeps a layer's attention.
   *
   * @param layer Its index.
   * @param attention The converted attention.
   * @param original The same layer's attention before; tensors that it shares are not stored.
   */
  async put(
    layer: number,
    attention: Attention,
    original: Attention,
  ): Promise<void> {
    const bytes = ownBytes(attention, original);
    if (bytes * this.#numLayers <= this.#budgetBytes) {
      this.#kept.set(layer, attention);
      return;
    }
    const fields = new Map<string, Field>();
    for (const [name, value] of Object.entries(attention)) {
      fields.set(name, await this.#spill(value, fieldOf(original, name)));
    }
    this.#spilled.set(layer, fields);
  }

  /**
   * A layer's attention.
   *
   * @param layer Its index.
   * @param original As for put().
   * @returns The attention, read from the file where it is not in memory.
   */
  get(layer: number, original: Attention): Attention {
    const kept = this.#kept.get(layer);
    if (kept !== undefined) return kept;
    const fields = this.#spilled.get(layer);
    if (fields === undefined) {
      throw new RangeError(
        `Cannot read the attention of layer ${layer} as it must be one of ${this.#numLayers} that were converted`,
      );
    }
    const attention: Record<string, unknown> = {};
    for (const [name, field] of fields) {
      attention[name] = this.#restore(field, fieldOf(original, name));
    }
    return attention as unknown as Attention;
  }

  async #spill(value: unknown, original: unknown): Promise<Field> {
    if (isTensor(value)) {
      return value === original
        ? { kind: "original" }
        : { kind: "tensor", tensor: await this.#append(value) };
    }
    if (!isLinear(value)) return { kind: "value", value };
    if (value === original) return { kind: "original" };
    const { weight, bias } = value;
    return {
      kind: "linear",
      weight: await this.#append(weight),
      bias: bias && await this.#append(bias),
    };
  }

  #restore(field: Field, original: unknown): unknown {
    switch (field.kind) {
      case "value":
        return field.value;
      case "original":
        return original;
      case "tensor":
        return this.#read(field.tensor);
      case "linear": {
        const weight = this.#read(field.weight);
        return field.bias === undefined
          ? { weight }
          : { weight, bias: this.#read(field.bias) };
      }
      default:
        return field satisfies never;
    }
  }

  async #append({ shape, data }: Tensor): Promise<Stored> {
    if (this.#file === undefined) {
      const folder = this.#folder ?? join(cacheFolder(), "scratch");
      this.#file = await scratchFile(folder);
      openFiles.register(this, this.#file);
    }
    const offset = this.#end;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    // Seek and write belong together: another call must not come between.
    this.#file.seekSync(offset, Deno.SeekMode.Start);
    for (let done = 0; done < bytes.length;) {
      done += this.#file.writeSync(bytes.subarray(done));
    }
    this.#end += bytes.length;
    return { shape, offset };
  }

  #read({ shape, offset }: Stored): Tensor {
    const data = new Float32Array(
      shape.reduce((product, axis) => product * axis, 1),
    );
    const bytes = new Uint8Array(data.buffer);
    this.#file!.seekSync(offset, Deno.SeekMode.Start);
    for (let done = 0; done < bytes.length;) {
      const count = this.#file!.readSync(bytes.subarray(done));
      if (count === null) {
        throw new CheckpointError(
          `Cannot read converted weights back as their file must have ${
            offset + bytes.length
          } bytes: it ends at ${offset + done}`,
        );
      }
      done += count;
    }
    return { shape, data };
  }
}

/** A file without a name, where the system lets an open file lose it: then it goes with the process. */
async function scratchFile(folder: string): Promise<Deno.FsFile> {
  await Deno.mkdir(folder, { recursive: true });
  const path = await Deno.makeTempFile({ dir: folder, suffix: ".attention" });
  const file = await Deno.open(path, { read: true, write: true });
  await Deno.remove(path).catch(() => {});
  return file;
}

/** Bytes of tensors that the original does not have. */
function ownBytes(attention: Attention, original: Attention): number {
  let bytes = 0;
  for (const [name, value] of Object.entries(attention)) {
    if (value === fieldOf(original, name)) continue;
    if (isTensor(value)) bytes += value.data.byteLength;
    if (isLinear(value)) {
      bytes += value.weight.data.byteLength +
        (value.bias?.data.byteLength ?? 0);
    }
  }
  return bytes;
}

function fieldOf(attention: Attention, name: string): unknown {
  return (attention as unknown as Record<string, unknown>)[name];
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === "object" && value !== null && "data" in value;
}

function isLinear(value: unknown): value is Linear {
  return typeof value === "object" && value !== null && "weight" in value;
}
