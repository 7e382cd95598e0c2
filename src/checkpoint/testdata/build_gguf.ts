// Small GGUF files for tests, written from the format's description
// (github.com/ggml-org/ggml, docs/gguf.md), broken ones included.

type Value =
  | { readonly u32: number }
  | { readonly u64: bigint }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly i32s: readonly number[] }
  | { readonly strings: readonly string[] };

/** A tensor to write; `shape` is outermost first, as everywhere but in the file. */
export interface GgufTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** ggml's number: 0 F32, 1 F16, 8 Q8_0, ... */
  readonly type: number;
  readonly bytes: Uint8Array;
  /** In place of the right offset. */
  readonly offset?: number;
}

const ALIGNMENT = 32;

class Writer {
  #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  bytes(bytes: Uint8Array): void {
    for (const byte of bytes) this.#bytes.push(byte);
  }

  u32(value: number): void {
    this.bytes(new Uint8Array(new Uint32Array([value]).buffer));
  }

  u64(value: bigint): void {
    this.bytes(new Uint8Array(new BigUint64Array([value]).buffer));
  }

  string(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.u64(BigInt(bytes.length));
    this.bytes(bytes);
  }

  pad(): void {
    while (this.length % ALIGNMENT !== 0) this.#bytes.push(0);
  }

  value(value: Value): void {
    if ("u32" in value) {
      this.u32(4);
      this.u32(value.u32);
    } else if ("u64" in value) {
      this.u32(10);
      this.u64(value.u64);
    } else if ("f32" in value) {
      this.u32(6);
      this.bytes(new Uint8Array(new Float32Array([value.f32]).buffer));
    } else if ("bool" in value) {
      this.u32(7);
      this.bytes(Uint8Array.of(value.bool ? 1 : 0));
    } else if ("string" in value) {
      this.u32(8);
      this.string(value.string);
    } else if ("i32s" in value) {
      this.u32(9);
      this.u32(5);
      this.u64(BigInt(value.i32s.length));
      for (const item of value.i32s) this.u32(item);
    } else {
      this.u32(9);
      this.u32(8);
      this.u64(BigInt(value.strings.length));
      for (const item of value.strings) this.string(item);
    }
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

/**
 * Builds a GGUF file.
 *
 * @param metadata Keys and typed values, in order; a list, so that a key can be there twice.
 * @param tensors The tensors.
 * @param version The version number to claim.
 * @returns The file.
 */
export function buildGguf(
  metadata: readonly (readonly [string, Value])[],
  tensors: readonly GgufTensor[],
  version = 3,
): Uint8Array {
  const out = new Writer();
  out.bytes(new TextEncoder().encode("GGUF"));
  out.u32(version);
  out.u64(BigInt(tensors.length));
  out.u64(BigInt(metadata.length));
  for (const [key, value] of metadata) {
    out.string(key);
    out.value(value);
  }
  let offset = 0;
  for (const item of tensors) {
    out.string(item.name);
    out.u32(item.shape.length);
    for (const axis of [...item.shape].reverse()) out.u64(BigInt(axis));
    out.u32(item.type);
    out.u64(BigInt(item.offset ?? offset));
    offset = Math.ceil((offset + item.bytes.length) / ALIGNMENT) * ALIGNMENT;
  }
  out.pad();
  for (const item of tensors) {
    out.bytes(item.bytes);
    out.pad();
  }
  return out.finish();
}

/** An F32 tensor. */
export function f32Tensor(
  name: string,
  shape: readonly number[],
  values: readonly number[],
): GgufTensor {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  return { name, shape, type: 0, bytes };
}

/** Writes bytes to a temporary file, hands over its path, removes it. */
export async function withFile<T>(
  bytes: Uint8Array,
  suffix: string,
  work: (path: string) => Promise<T>,
): Promise<T> {
  const path = await Deno.makeTempFile({ suffix });
  try {
    await Deno.writeFile(path, bytes);
    return await work(path);
  } finally {
    await Deno.remove(path);
  }
}
