// A compiler's complaint, in one line that says where.

import { type DeviceFault, GpuError, oneLine } from "./faults.ts";

/**
 * Explains why a shader or its pipeline was refused.
 *
 * @param label Names the kernel.
 * @param code Its WGSL.
 * @param module Knows the compiler's messages.
 * @param fault What the device said.
 */
export async function shaderFault(
  label: string,
  code: string,
  module: GPUShaderModule | undefined,
  fault: DeviceFault,
): Promise<GpuError> {
  if (fault.memory) {
    return new GpuError(
      "out-of-memory",
      `GPU out of memory: cannot build kernel ${label}: ${fault.message}`,
    );
  }
  // A lost device has no messages any more.
  const info = await module?.getCompilationInfo().catch(() => undefined);
  const error = info?.messages.find(({ type }) => type === "error");
  if (error === undefined) {
    return new GpuError(
      "shader",
      `Cannot build kernel ${label}: ${fault.message}`,
    );
  }
  const source = code.split("\n")[error.lineNum - 1]?.trim() ?? "";
  return new GpuError(
    "shader",
    `Cannot compile kernel ${label}, line ${error.lineNum} \`${source}\`: ${
      complaint(error.message)
    }`,
  );
}

/**
 * What a compiler says, without its drawing of the source: naga's messages are
 * a headline, the lines in question with `^ remarks` below them, and `= notes`.
 */
function complaint(message: string): string {
  const lines = message.trim().split("\n").map((line) => line.trim());
  const [first = "", ...rest] = lines;
  const headline = first.replace(
    /^Shader '.*?' (?:parsing|validation) error: /,
    "",
  );
  const remarks = rest.flatMap((line) =>
    /^[│\s]*(?:(?:\^+\s+)+|=\s+|─+\^?\s+)(.+)$/.exec(line)?.[1] ?? []
  ).filter((remark) => !headline.includes(remark));
  return oneLine([headline, ...remarks].join("; "));
}
