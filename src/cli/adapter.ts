// The GPU that an experiment's engine computes on.

import { InputError } from "../base/errors.ts";
import type { EngineDescription } from "../engine/engine.ts";
import { openEngine } from "../engine/open.ts";
import type { EngineChoice } from "../experiment/schema.ts";

/** An adapter, as the engine describes it. */
export interface UsedAdapter
  extends Pick<EngineDescription, "adapter" | "adapterKind"> {
  /** Also where the engine does not tell. */
  readonly kind: "gpu" | "software";
}

/**
 * Opens the engine for a moment: only it knows its adapter, which timed cells
 * are named by.
 *
 * @param engine Of the experiment.
 * @returns Undefined where the engine computes on the CPU.
 * @throws {InputError} If the engine cannot be had here.
 */
export async function adapterOf(
  engine: EngineChoice,
): Promise<UsedAdapter | undefined> {
  if (engine.device === "cpu") return undefined;
  const { name, software: _software, ...options } = engine;
  try {
    const opened = await openEngine(name, options);
    const { adapter, adapterKind } = opened.describe();
    await opened.close();
    return {
      ...(adapter === undefined ? {} : { adapter }),
      ...(adapterKind === undefined ? {} : { adapterKind }),
      kind: adapterKind ?? await kindOfFastest(),
    };
  } catch (error) {
    const { message } = error as Error;
    throw new InputError(
      message.startsWith("Cannot ")
        ? message
        : `Cannot use device ${engine.device} with engine ${name}: ${message}`,
      { cause: error },
    );
  }
}

/** onnxruntime does not tell: it takes the adapter that Deno would take. */
async function kindOfFastest(): Promise<"gpu" | "software"> {
  const adapter = await navigator.gpu?.requestAdapter({
    powerPreference: "high-performance",
  });
  return adapter?.info.isFallbackAdapter ? "software" : "gpu";
}

/** The adapter in a line. */
export function adapterLine({ adapter, kind }: UsedAdapter): string {
  const slow = kind === "software" ? " (software: slow)" : "";
  return `adapter: ${adapter ?? "not named by the engine"}${slow}`;
}
