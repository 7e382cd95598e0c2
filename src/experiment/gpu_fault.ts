// Tells a GPU's faults from other errors by name and kind: the parent process
// and the tests never load GPU code.

/** What can go wrong on a device; as the errors named GpuError say. */
export type GpuFaultKind = "out-of-memory" | "shader" | "validation" | "lost";

/** An error that wraps another more often than this is not followed. */
const MAX_CAUSES = 8;

/**
 * The kind of GPU fault that an error tells of, itself or through its causes.
 *
 * @param error What was thrown.
 * @returns Undefined where no GPU is at fault.
 */
export function gpuFault(error: unknown): GpuFaultKind | undefined {
  let current = error;
  for (let i = 0; i < MAX_CAUSES && current instanceof Error; i++) {
    const { name, kind } = current as Error & { readonly kind?: unknown };
    if (name === "GpuError" && typeof kind === "string") {
      return kind as GpuFaultKind;
    }
    current = current.cause;
  }
  return undefined;
}
