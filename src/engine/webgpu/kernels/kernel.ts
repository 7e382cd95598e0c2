// From a kernel's WGSL to a dispatch. A kernel's .ts names its bindings, its
// parameters and its constants; their declarations are written here, so that the
// two files cannot disagree.

import type { Arena, Dispatch, Gpu } from "../device/gpu.ts";
import { type Constants, fillTemplate } from "./template.ts";

/** Element types on the device. */
export type Element = "f32" | "f16";

/** Bytes of an element. */
export const ELEMENT_BYTES: Readonly<Record<Element, number>> = {
  f32: 4,
  f16: 2,
};

/** Rows of numbers in a buffer: element [i, j] is number offset + i·stride + j. */
export interface View {
  readonly buffer: GPUBuffer;
  readonly element: Element;
  /** Elements before the first row. */
  readonly offset: number;
  /** Elements from one row to the next. */
  readonly stride: number;
}

/**
 * A weight matrix [rows, columns]. Rows are padded with zeros to `stride`, a
 * multiple of 8, and split over several buffers where one binding cannot hold them.
 */
export interface GpuMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly stride: number;
  readonly element: Element;
  readonly parts: readonly {
    readonly buffer: GPUBuffer;
    readonly firstRow: number;
    readonly rows: number;
  }[];
}

/** Padded width of rows of activations and weights: a multiple of 8, the padding zero. */
export function padded(width: number): number {
  return Math.ceil(width / 8) * 8;
}

/** A storage binding. */
export interface Binding {
  readonly buffer: GPUBuffer;
  /** WGSL type: "array<f32>", "array<vec4<f16>>". */
  readonly type: string;
  readonly access: "read" | "read_write";
}

/** A parameter, in a uniform buffer: set when the dispatch is made, fixed from then on. */
export type Param =
  | { readonly u32: number }
  | { readonly f32: number };

/** Everything a dispatch is made from. */
export interface KernelUse {
  readonly label: string;
  /** WGSL template; see template.ts. Reads `params.<name>` and the bindings by name. */
  readonly source: string;
  readonly constants: Constants;
  readonly bindings: Readonly<Record<string, Binding>>;
  readonly params: Readonly<Record<string, Param>>;
  /** Names of WGSL extensions that the kernel enables; f16 is added where a type needs it. */
  readonly needs?: readonly ("f16" | "subgroups" | "subgroupMatrix")[];
  readonly grid: readonly [x: number, y: number, z: number];
  readonly bytes: number;
  readonly flops: number;
}

/**
 * Makes a dispatch.
 *
 * @param arena Owns its parameters.
 * @param use Source, constants, bindings, parameters, grid.
 * @returns The dispatch.
 * @throws {RangeError} If the grid is over the device's limit.
 */
export function dispatchOf(arena: Arena, use: KernelUse): Dispatch {
  const { gpu } = arena;
  const limit = gpu.facts.limits.maxComputeWorkgroupsPerDimension;
  if (use.grid.some((n) => !(Number.isInteger(n) && n > 0 && n <= limit))) {
    throw new RangeError(
      `Cannot dispatch ${use.label} as its grid must be in 1..${limit}: current value is ${use.grid}`,
    );
  }
  const code = shaderOf(gpu, use);
  const pipeline = gpu.pipeline(use.label, code);
  const entries: GPUBindGroupEntry[] = Object.values(use.bindings).map(
    ({ buffer }, binding) => ({ binding, resource: { buffer } }),
  );
  if (Object.keys(use.params).length > 0) {
    entries.push({
      binding: entries.length,
      resource: arena.uniform(paramBytes(use.params)),
    });
  }
  const bindGroup = gpu.device.createBindGroup({
    label: use.label,
    layout: pipeline.getBindGroupLayout(0),
    entries,
  });
  return {
    label: use.label,
    pipeline,
    bindGroup,
    grid: use.grid,
    bytes: use.bytes,
    flops: use.flops,
  };
}

/**
 * Dispatches whose labels tell what they are for, after the kernel's name.
 *
 * @param role In words: "gateUp".
 * @param dispatches The dispatches.
 */
export function named(
  role: string,
  dispatches: readonly Dispatch[],
): Dispatch[] {
  return dispatches.map((dispatch) => {
    const [kernel, ...rest] = dispatch.label.split(" ");
    return { ...dispatch, label: [kernel, role, ...rest].join(" ") };
  });
}

/** A grid for `count` workgroups that a kernel numbers by `workgroup_id.x + workgroup_id.y * num_workgroups.x`; the last row may have some too many. */
export function linearGrid(
  gpu: Gpu,
  count: number,
): readonly [number, number, number] {
  const limit = gpu.facts.limits.maxComputeWorkgroupsPerDimension;
  const rows = Math.ceil(count / limit);
  return [Math.ceil(count / rows), rows, 1];
}

/** The whole WGSL of a kernel: extensions, declarations, body. */
export function shaderOf(gpu: Gpu, use: KernelUse): string {
  const body = fillTemplate(use.source, use.constants);
  const names = Object.entries(use.bindings);
  const declarations = names.map(([name, { type, access }], binding) =>
    `@group(0) @binding(${binding}) var<storage, ${access}> ${name}: ${type};`
  );
  const params = Object.entries(use.params);
  if (params.length > 0) {
    declarations.push(
      `struct Params { ${
        params.map(([name, value]) =>
          `${name}: ${"u32" in value ? "u32" : "f32"}`
        ).join(", ")
      } }`,
      `@group(0) @binding(${names.length}) var<uniform> params: Params;`,
    );
  }
  const needs = new Set(use.needs ?? []);
  if (usesHalves(body) || HALVES.test(declarations.join())) needs.add("f16");
  return [...enables(gpu, needs), ...declarations, body].join("\n");
}

const HALVES = /\bf16\b|\bvec[234]h\b/;

/** Bodies are long, few and asked for often. */
const halvesOf = new Map<string, boolean>();

function usesHalves(body: string): boolean {
  let uses = halvesOf.get(body);
  if (uses === undefined) halvesOf.set(body, uses = HALVES.test(body));
  return uses;
}

function enables(gpu: Gpu, needs: ReadonlySet<string>): string[] {
  const lines: string[] = [];
  if (needs.has("f16")) lines.push("enable f16;");
  // naga has subgroup operations without the directive, and rejects it.
  if (
    gpu.facts.provider === "dawn" &&
    (needs.has("subgroups") || needs.has("subgroupMatrix"))
  ) {
    lines.push("enable subgroups;");
  }
  if (needs.has("subgroupMatrix")) {
    lines.push("enable chromium_experimental_subgroup_matrix;");
  }
  return lines;
}

function paramBytes(params: KernelUse["params"]): ArrayBuffer {
  const values = Object.values(params);
  // A uniform's size is a multiple of 16.
  const bytes = new ArrayBuffer(Math.ceil(values.length / 4) * 16);
  const view = new DataView(bytes);
  for (const [i, value] of values.entries()) {
    if ("u32" in value) view.setUint32(4 * i, value.u32, true);
    else view.setFloat32(4 * i, value.f32, true);
  }
  return bytes;
}

/** The text of a .wgsl file beside a module. */
export function readWgsl(name: string, base: string): string {
  return Deno.readTextFileSync(new URL(name, base));
}
