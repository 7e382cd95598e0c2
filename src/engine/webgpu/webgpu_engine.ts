// The webgpu engine: own WGSL kernels on a GPUDevice of Deno's own WebGPU or of
// Dawn.

import { UnavailableError } from "../../base/errors.ts";
import type { DecoderModel } from "../../model/decoder.ts";
import type { Engine, EngineOptions } from "../engine.ts";
import { copyBandwidth } from "./device/copy_bandwidth.ts";
import { DAWN } from "./device/dawn_provider.ts";
import { GpuError } from "./device/faults.ts";
import type { Gpu } from "./device/gpu.ts";
import { openGpu } from "./device/open_gpu.ts";
import { tuningName } from "./kernels/tuned.ts";
import { uploadModel } from "./plan/gpu_model.ts";
import { Turns } from "./turns.ts";
import { WebgpuSession } from "./webgpu_session.ts";

/**
 * Opens the webgpu engine. Where its device was lost, the next session that is
 * opened gets a new one.
 *
 * @param options How to run.
 * @returns The engine.
 * @throws {UnavailableError} If there is no adapter, or it lacks f16 and that is asked for.
 */
export async function openWebgpuEngine(
  options: EngineOptions,
): Promise<Engine> {
  const { dtype = "f32", provider = "deno" } = options;
  const cacheDtype = options.cacheDtype ?? dtype;
  let gpu = await openGpu({ provider });
  const { facts } = gpu;
  if ((dtype === "f16" || cacheDtype === "f16") && !gpu.features.f16) {
    await gpu.destroy();
    throw new UnavailableError(
      `Cannot open the webgpu engine with dtype "${dtype}" and cacheDtype "${cacheDtype}" as ${facts.name} has no shader-f16 through provider "${provider}": use "f32"`,
    );
  }
  const sessions = new Set<WebgpuSession>();
  const turns = new Turns();
  let closed = false;
  const open = async (model: DecoderModel) => {
    if (closed) {
      throw new TypeError("Cannot open a model as the engine is closed");
    }
    if (await isLost(gpu)) {
      await gpu.destroy();
      gpu = await openGpu({ provider });
    }
    const arena = gpu.arena();
    try {
      const loaded = await uploadModel(arena, model, dtype, cacheDtype);
      await gpu.settle();
      const session = new WebgpuSession({
        gpu,
        model: loaded,
        turns,
        onClose: (session) => sessions.delete(session),
      });
      sessions.add(session);
      return session;
    } catch (error) {
      arena.destroy();
      throw error;
    }
  };
  const driver = facts.driver === "" ? "" : `, driver ${facts.driver}`;
  const tuning = tuningName(gpu);
  let bandwidth: Promise<number> | undefined;
  return {
    describe: () => ({
      name: "webgpu",
      provider,
      dtype,
      cacheDtype,
      adapter: `${facts.name}${driver}`,
      adapterKind: facts.software ? "software" : "gpu",
      ...(tuning === undefined ? {} : { tuning }),
      version: versionOf(provider),
    }),
    copyBandwidth: () =>
      bandwidth ??= turns.take(async () =>
        (await copyBandwidth(gpu)).bytesPerSecond
      ).catch((error) => {
        // Asked again, it measures again: the device may have room by then.
        bandwidth = undefined;
        throw error;
      }),
    open: (model: DecoderModel) => turns.take(() => open(model)),
    async close() {
      closed = true;
      for (const session of [...sessions]) await session.close();
      await turns.take(() => gpu.destroy());
    },
  };
}

async function isLost(gpu: Gpu): Promise<boolean> {
  try {
    await gpu.settle();
    return false;
  } catch (error) {
    // Another fault would be one that an earlier call has thrown already.
    return error instanceof GpuError && error.kind === "lost";
  }
}

function versionOf(provider: "deno" | "dawn"): string {
  return provider === "deno" ? `deno ${Deno.version.deno}` : DAWN;
}
