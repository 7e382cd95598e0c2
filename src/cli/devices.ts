// deno task devices [--json]: what this machine can compute on. Lists only what
// answers; a bundled provider still needs hardware that it accepts.

import { availableParallelism, cpus, totalmem } from "node:os";
import { InputError } from "../base/errors.ts";
import { EXIT, parseFlags, print, runVerb } from "./terminal.ts";

/** The processor. */
export interface Processor {
  readonly model: string;
  readonly cores: number;
  readonly memoryBytes: number;
}

/** A WebGPU adapter that Deno's navigator.gpu gives. */
export interface GpuAdapter {
  readonly powerPreference: string;
  readonly description: string;
  readonly vendor: string;
  /** True for a software rasterizer. */
  readonly isFallback: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
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
  readonly adapters: readonly GpuAdapter[];
  readonly onnxruntime:
    | { readonly version: string; readonly providers: readonly OnnxProvider[] }
    | { readonly error: string };
}

// Limits that decide which models fit.
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupsPerDimension",
] as const;

/** Looks for everything that can compute here. */
export async function findDevices(): Promise<Devices> {
  return {
    processor: {
      model: cpus()[0]?.model.trim() ?? "unknown",
      cores: availableParallelism(),
      memoryBytes: totalmem(),
    },
    adapters: await findAdapters(),
    onnxruntime: await findProviders(),
  };
}

/** Text for people: one device a paragraph. */
export function describeDevices(devices: Devices): string {
  const { processor, adapters, onnxruntime } = devices;
  const lines = [
    `CPU      ${processor.model}, ${processor.cores} cores, ${
      (processor.memoryBytes / 2 ** 30).toFixed(1)
    } GiB`,
  ];
  if (adapters.length === 0) {
    lines.push("WebGPU   no adapter answers");
  }
  for (const adapter of adapters) {
    const kind = adapter.isFallback ? " (software, not a GPU)" : "";
    lines.push(
      `WebGPU   ${adapter.description}${kind}`,
      `         vendor ${adapter.vendor || "not named"}`,
      `         features: ${adapter.features.join(", ") || "none"}`,
      ...Object.entries(adapter.limits).map(([name, value]) =>
        `         ${name} ${value}`
      ),
    );
  }
  if ("error" in onnxruntime) {
    lines.push(`onnx     does not load: ${onnxruntime.error}`);
    return lines.join("\n");
  }
  lines.push(`onnx     onnxruntime ${onnxruntime.version}`);
  for (const { name, bundled } of onnxruntime.providers) {
    lines.push(
      `         ${name}: ${bundled ? "bundled" : "needs its own library"}`,
    );
  }
  return lines.join("\n");
}

async function findAdapters(): Promise<GpuAdapter[]> {
  const found = new Map<string, GpuAdapter>();
  for (const powerPreference of ["high-performance", "low-power"] as const) {
    const adapter = await navigator.gpu?.requestAdapter({ powerPreference });
    if (!adapter) continue;
    const { vendor, description, device } = adapter.info;
    const name = description || device || "unnamed adapter";
    if (found.has(name)) continue;
    found.set(name, {
      powerPreference,
      description: name,
      vendor,
      isFallback: adapter.info.isFallbackAdapter,
      features: [...adapter.features].sort(),
      limits: Object.fromEntries(
        LIMITS.map((limit) => [limit, adapter.limits[limit]]),
      ),
    });
  }
  return [...found.values()];
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

Lists what this machine can compute on.

  --json       as JSON
  --help       this text`;

/**
 * The verb.
 *
 * @param args Command line arguments.
 * @returns The exit code.
 * @throws {InputError} If an argument is not an option of it.
 */
export async function devices(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, { boolean: ["json"] });
  if (flags["help"] === true) {
    print(HELP);
    return EXIT.ok;
  }
  if (flags._.length > 0) {
    throw new InputError(
      `Cannot take ${flags._.join(", ")}: deno task devices takes no arguments`,
    );
  }
  const found = await findDevices();
  print(
    flags["json"] === true
      ? JSON.stringify(found, null, 2)
      : describeDevices(found),
  );
  return EXIT.ok;
}

if (import.meta.main) await runVerb(devices);
