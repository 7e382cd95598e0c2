// How uniforms share buffers.

/** Every uniform offset alignment that WebGPU allows divides it. */
const SLOT_BYTES = 256;

/** Of a buffer of uniforms. */
export const UNIFORM_BYTES = 65536;

/** Bytes that a uniform takes in its buffer. */
export function slotBytes(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / SLOT_BYTES)) * SLOT_BYTES;
}
