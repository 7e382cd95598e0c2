// deno task devices [--dawn] [--json]: what this machine can compute on, and how
// fast its GPUs move memory.

import { availableParallelism, cpus, totalmem } from "node:os";
import { InputError, UnavailableError } from "../base/errors.ts";
import { requestAdapter } from "../engine/webgpu/device/adapter.ts";
import { isDawnInstalled } from "../engine/webgpu/device/dawn_provider.ts";
import type { GpuProvider } from "../engine/webgpu/device/gpu.ts";
import {
  listAdapters,
  type ListedAdapter,
} from "../engine/webgpu/device/list_adapters.ts";
import { describeDevices } from "./device_text.ts";
import {
  EXIT,
  isVerbose,
  note,
  parseFlags,
  print,
  runVerb,
} from "./terminal.ts";

/** The processor. */
export interface Processor {
  readonly model: string;
  readonly cores: number;
  readonly memoryBytes: number;
}

/** What a WebGPU provider gives. */
export interface ProviderListing {
  readonly provider: GpuProvider;
  readonly adapters: readonly ListedAdapter[];
  /** Why there are no adapters, and what would help. */
  readonly note?: string;
}

/** An execution provider that onnxruntime was built with. */
export interface OnnxProvider {
  readonly name: string;
  /** Whether its library came with the package. */
  readonly bundled: boolean;
}

/** What a machine can compute on. */
export interface Devices {
  readonly processor: Processor;
  readonly webgpu: readonly ProviderListing[];
  readonly onnxruntime:
    | { readonly version: string; readonly providers: readonly OnnxProvider[] }
    | { readonly error: string };
}

/** What to look for. */
export interface FindOptions {
  /** Whether to install Dawn where it is not. @default false */
  readonly dawn?: boolean;
}

/** Looks for everything that can compute here, and measures the GPUs. */
export async function findDevices(
  options: FindOptions = {},
): Promise<Devices> {
  return {
    processor: {
      model: cpus()[0]?.model.trim() ?? "unknown",
      cores: availableParallelism(),
      memoryBytes: totalmem(),
    },
    webgpu: [await findAdapters("deno"), await findDawn(options.dawn === true)],
    onnxruntime: await findProviders(),
  };
}

async function findDawn(install: boolean): Promise<ProviderListing> {
  if (install || isDawnInstalled()) {
    // Deno's own progress of downloads is off: its task runs with --quiet.
    if (!isDawnInstalled()) note("downloading Dawn (45 MB)");
    return await findAdapters("dawn");
  }
  return {
    provider: "dawn",
    adapters: [],
    note: "not installed; --dawn downloads it (45 MB)",
  };
}

async function findAdapters(provider: GpuProvider): Promise<ProviderListing> {
  try {
    const adapters = await listAdapters(provider);
    // Says what a machine without adapters lacks.
    if (adapters.length === 0) await requestAdapter({ provider });
    return { provider, adapters };
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    return { provider, adapters: [], note: error.message };
  }
}

async function findProviders(): Promise<Devices["onnxruntime"]> {
  try {
    const { env, listSupportedBackends } = await import("onnxruntime-node");
    return {
      version: env.versions.node ?? env.versions.common,
      providers: listSupportedBackends().map(({ name, bundled }) => ({
        name,
        bundled,
      })),
    };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

const HELP = `deno task devices [options]

Lists what this machine can compute on: the processor, the GPUs through both
WebGPU providers with the bandwidth of a copy measured on each, and the
providers of onnxruntime. A software adapter computes right, but says nothing
about speed.

  --dawn       look through Dawn too where it is not installed yet (downloads 45 MB)
  --json       as JSON, with every feature and limit
  -v           every feature and limit
  --help       this text`;

/**
 * The verb.
 *
 * @param args Command line arguments.
 * @returns The exit code.
 * @throws {InputError} If an argument is not an option of it.
 */
export async function devices(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, { boolean: ["dawn", "json"] });
  if (flags["help"] === true) {
    print(HELP);
    return EXIT.ok;
  }
  if (flags._.length > 0) {
    throw new InputError(
      `Cannot take ${flags._.join(", ")}: deno task devices takes no arguments`,
    );
  }
  const found = await findDevices({ dawn: flags["dawn"] === true });
  print(
    flags["json"] === true
      ? JSON.stringify(found, null, 2)
      : describeDevices(found, isVerbose(args)),
  );
  return EXIT.ok;
}

if (import.meta.main) await runVerb(devices);
