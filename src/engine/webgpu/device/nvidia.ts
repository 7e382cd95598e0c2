// What NVIDIA's own tool says of its GPU: WebGPU providers name the driver
// differently or not at all.

/** An NVIDIA GPU in the driver's words. */
export interface NvidiaGpu {
  /** "NVIDIA H100 80GB HBM3". */
  readonly name: string;
  /** "580.159.04". */
  readonly driver: string;
}

/**
 * Asks nvidia-smi.
 *
 * @returns The first GPU, or undefined where the tool is missing or not permitted.
 */
export async function nvidiaGpu(): Promise<NvidiaGpu | undefined> {
  try {
    // Loader variables in the environment would need every permission to run.
    const { success, stdout } = await new Deno.Command("nvidia-smi", {
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "" },
      args: ["--query-gpu=name,driver_version", "--format=csv,noheader"],
      stderr: "null",
    }).output();
    const line = new TextDecoder().decode(stdout).split("\n", 1)[0] ?? "";
    const [name, driver] = line.split(",").map((word) => word.trim());
    return success && name && driver ? { name, driver } : undefined;
  } catch {
    return undefined;
  }
}
