// Element types of stored tensors and their exact widening to f32.

/** Element types that a checkpoint may store densely. */
export type DType = "f64" | "f32" | "f16" | "bf16";

/** Bytes of one element of each dtype. */
export const DTYPE_BYTES: Readonly<Record<DType, number>> = {
  f64: 8,
  f32: 4,
  f16: 2,
  bf16: 2,
};

/**
 * Widens little-endian bytes of `dtype` to f32. An f32 view is returned without
 * a copy where the bytes are aligned; f64 is rounded.
 *
 * @param bytes The elements, little-endian, without padding.
 * @param dtype Their type.
 * @returns One f32 per element.
 * @throws {RangeError} If the number of bytes is not a multiple of the element size.
 */
export function toFloat32(bytes: Uint8Array, dtype: DType): Float32Array {
  const size = DTYPE_BYTES[dtype];
  if (bytes.byteLength % size !== 0) {
    throw new RangeError(
      `Cannot read ${dtype} elements as the byte length must be a multiple of ${size}: current value is ${bytes.byteLength}`,
    );
  }
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const length = bytes.byteLength / size;
  switch (dtype) {
    case "f32":
      return new Float32Array(aligned.buffer, aligned.byteOffset, length);
    case "f64":
      return Float32Array.from(
        new Float64Array(aligned.buffer, aligned.byteOffset, length),
      );
    case "f16":
      return new Float32Array(
        new Float16Array(aligned.buffer, aligned.byteOffset, length),
      );
    case "bf16": {
      const halves = new Uint16Array(
        aligned.buffer,
        aligned.byteOffset,
        length,
      );
      const bits = new Uint32Array(length);
      for (let i = 0; i < length; i++) bits[i] = halves[i]! << 16;
      return new Float32Array(bits.buffer);
    }
    default:
      return dtype satisfies never;
  }
}

/**
 * Rounds f32 elements to little-endian bytes of `dtype` (round to nearest even).
 *
 * @param values The elements.
 * @param dtype The type to store.
 * @returns The bytes; an f32 result shares memory with `values`.
 */
export function fromFloat32(values: Float32Array, dtype: DType): Uint8Array {
  switch (dtype) {
    case "f32":
      return new Uint8Array(
        values.buffer,
        values.byteOffset,
        values.byteLength,
      );
    case "f64":
      return new Uint8Array(Float64Array.from(values).buffer);
    case "f16":
      return new Uint8Array(new Float16Array(values).buffer);
    case "bf16": {
      const bits = new Uint32Array(
        values.buffer,
        values.byteOffset,
        values.length,
      );
      const halves = new Uint16Array(values.length);
      for (let i = 0; i < bits.length; i++) {
        const word = bits[i]!;
        const isNaN = (word & 0x7fffffff) > 0x7f800000;
        halves[i] = isNaN
          ? (word >>> 16) | 0x40
          : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
      }
      return new Uint8Array(halves.buffer);
    }
    default:
      return dtype satisfies never;
  }
}
