// What a machine can compute on, as text for people.

import type { ListedAdapter } from "../engine/webgpu/device/list_adapters.ts";
import type { Devices } from "./devices.ts";
import { paint } from "./terminal.ts";

/** Width of the first column, and of the second where there is one. */
const INDENT = 14;
const LABEL = 12;

/**
 * Text for people: a paragraph for the processor, for every adapter and for
 * onnxruntime.
 *
 * @param devices What was found.
 * @param verbose Whether to name every feature and limit.
 */
export function describeDevices(devices: Devices, verbose = false): string {
  const { processor, webgpu, onnxruntime } = devices;
  const { model, cores, memoryBytes } = processor;
  const paragraphs = [
    paragraph("CPU", bold(model), [
      `${cores} ${cores === 1 ? "core" : "cores"}, ${byteSize(memoryBytes)}`,
    ]),
  ];
  for (const { provider, adapters, note } of webgpu) {
    const title = `WebGPU ${provider}`;
    if (adapters.length === 0) {
      paragraphs.push(paragraph(title, note ?? "no adapter answers", []));
    }
    for (const adapter of adapters) {
      paragraphs.push(describeAdapter(title, adapter, verbose));
    }
  }
  paragraphs.push(
    "error" in onnxruntime
      ? paragraph("onnxruntime", `does not load: ${onnxruntime.error}`, [])
      : paragraph(
        "onnxruntime",
        bold(onnxruntime.version),
        onnxruntime.providers.map(({ name, bundled }) =>
          labeled(name, bundled ? "bundled" : "needs its own library")
        ),
      ),
  );
  return paragraphs.join("\n\n");
}

function describeAdapter(
  title: string,
  adapter: ListedAdapter,
  verbose: boolean,
): string {
  const { facts, copy, features, limits } = adapter;
  const speed = "error" in copy
    ? copy.error
    : `${significant(copy.bytesPerSecond / 1e9)} GB/s, read and write`;
  const made = [
    facts.vendor,
    facts.driver === "" ? "" : `driver ${facts.driver}`,
  ].filter((word) => word !== "").join(", ");
  const lines = [
    ...(made === "" ? [] : [made]),
    labeled("copy", speed),
    labeled("kernels", abilitiesOf(adapter)),
    labeled(
      "buffers",
      `up to ${byteSize(facts.limits.maxBufferSize)}, ${
        byteSize(facts.limits.maxStorageBufferBindingSize)
      } a binding`,
    ),
    labeled(
      "workgroups",
      `${facts.limits.maxComputeInvocationsPerWorkgroup} threads, ${
        byteSize(facts.limits.maxComputeWorkgroupStorageSize)
      } shared`,
    ),
  ];
  if (verbose) {
    const rows = [
      ...features.map((name) => [name, "yes"] as const),
      ...Object.entries(limits),
    ];
    const width = Math.max(...rows.map(([name]) => name.length));
    lines.push(
      ...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    );
  }
  const name = facts.software
    ? `${bold(facts.name)} ${
      paint("(software: right, but no GPU)", "yellow", Deno.stdout)
    }`
    : bold(facts.name);
  return paragraph(title, name, lines);
}

function abilitiesOf({ abilities, facts }: ListedAdapter): string {
  const size = facts.subgroupSize;
  const all = [
    [abilities.f16, "f16"],
    [abilities.subgroups, size > 0 ? `subgroups of ${size}` : "subgroups"],
    [abilities.subgroupMatrix, "subgroup matrices"],
    [abilities.timestamps, "timestamps"],
  ] as const;
  const has = all.filter(([yes]) => yes).map(([, name]) => name);
  const lacks = all.filter(([yes]) => !yes).map(([, name]) => `no ${name}`);
  return [has.join(", "), lacks.join(", ")].filter((part) => part !== "")
    .join("; ");
}

function paragraph(
  title: string,
  first: string,
  rest: readonly string[],
): string {
  return [
    title.padEnd(INDENT) + first,
    ...rest.map((line) => " ".repeat(INDENT) + line),
  ].join("\n");
}

function labeled(label: string, text: string): string {
  return label.padEnd(LABEL) + text;
}

function bold(text: string): string {
  return paint(text, "bold", Deno.stdout);
}

/** "2.98" as people say it: three digits. */
function significant(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function byteSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  // Limits such as 2 GiB - 4 are said as 2 GiB.
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toFixed(1))} ${units[unit]}`;
}
