// What NVIDIA's own tool says of its GPU: WebGPU providers name the driver
// differently or not at all.

const TOOL = "nvidia-smi";

/** An NVIDIA GPU in the driver's words. */
export interface NvidiaGpu {
  /** "NVIDIA H100 80GB HBM3". */
  readonly name: string;
  /** "580.159.04". */
  readonly driver: string;
}

// The tool takes a while, and its answer does not change.
let asked: Promise<NvidiaGpu | undefined> | undefined;

/**
 * Asks nvidia-smi, once a process.
 *
 * @returns The first GPU, or undefined where the tool is missing or not permitted.
 */
export function nvidiaGpu(): Promise<NvidiaGpu | undefined> {
  return asked ??= ask();
}

async function ask(): Promise<NvidiaGpu | undefined> {
  // Without this a terminal would be asked for the permission.
  const { state } = await Deno.permissions.query({
    name: "run",
    command: TOOL,
  });
  if (state !== "granted") return undefined;
  try {
    // Loader variables in the environment would need every permission to run.
    const { success, stdout } = await new Deno.Command(TOOL, {
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "" },
      args: ["--query-gpu=name,driver_version", "--format=csv,noheader"],
      stderr: "null",
    }).output();
    const line = new TextDecoder().decode(stdout).split("\n", 1)[0] ?? "";
    const [name, driver] = line.split(",").map((word) => word.trim());
    return success && name && driver ? { name, driver } : undefined;
  } catch {
    // Not installed, as where the driver is another vendor's.
    return undefined;
  }
}
