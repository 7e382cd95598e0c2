// The GPU's name for the records. onnxruntime's WebGPU provider does not tell
// which adapter it took, so the same request is made of Deno's own WebGPU, with
// the driver that NVIDIA's own tool reports beside it.

/**
 * Names the high-performance GPU of this machine.
 *
 * @returns For instance "NVIDIA H100 80GB HBM3, driver 580.159.04", or undefined where no adapter answers.
 */
export async function adapterName(): Promise<string | undefined> {
  const adapter = await navigator.gpu?.requestAdapter({
    powerPreference: "high-performance",
  });
  if (!adapter) return undefined;
  const { description, device, vendor } = adapter.info;
  const name = description || device || vendor;
  const driver = /nvidia/i.test(name) ? await nvidiaDriver() : undefined;
  return driver === undefined ? name : `${name}, driver ${driver}`;
}

async function nvidiaDriver(): Promise<string | undefined> {
  try {
    // Loader variables in the environment would need every permission to run.
    const { success, stdout } = await new Deno.Command("nvidia-smi", {
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "" },
      args: ["--query-gpu=driver_version", "--format=csv,noheader"],
      stderr: "null",
    }).output();
    const version = new TextDecoder().decode(stdout).split("\n", 1)[0]?.trim();
    return success && version ? version : undefined;
  } catch {
    // Not installed or not permitted: the name alone must do.
    return undefined;
  }
}
