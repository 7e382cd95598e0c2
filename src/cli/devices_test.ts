import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { ListedAdapter } from "../engine/webgpu/device/list_adapters.ts";
import { describeDevices } from "./device_text.ts";
import type { Devices } from "./devices.ts";

const BARE: Devices = {
  processor: { model: "Some CPU", cores: 1, memoryBytes: 8 * 2 ** 30 },
  webgpu: [
    { provider: "deno", adapters: [] },
    { provider: "dawn", adapters: [], note: "not installed" },
  ],
  onnxruntime: { error: "cannot open shared object" },
};

const ADAPTER: ListedAdapter = {
  facts: {
    provider: "deno",
    name: "NVIDIA H100 80GB HBM3",
    vendor: "NVIDIA",
    driver: "580.159.04",
    software: false,
    subgroupSize: 32,
    limits: {
      maxBufferSize: 2 ** 40,
      maxStorageBufferBindingSize: 2 ** 31 - 4,
      maxComputeWorkgroupStorageSize: 49152,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxComputeWorkgroupsPerDimension: 65535,
    },
  },
  abilities: {
    f16: true,
    subgroups: true,
    subgroupMatrix: false,
    timestamps: true,
  },
  features: ["shader-f16"],
  limits: { maxBindGroups: 4 },
  copy: { bytesPerSecond: 2.9823e12 },
};

Deno.test("describeDevices() says what is not there", () => {
  assertEquals(describeDevices(BARE).split("\n"), [
    "CPU           Some CPU",
    "              1 core, 8 GiB",
    "",
    "WebGPU deno   no adapter answers",
    "",
    "WebGPU dawn   not installed",
    "",
    "onnxruntime   does not load: cannot open shared object",
  ]);
});

Deno.test("describeDevices() says what a GPU is, how fast and what kernels use", () => {
  const text = describeDevices({
    ...BARE,
    webgpu: [{ provider: "deno", adapters: [ADAPTER] }],
    onnxruntime: {
      version: "1.2.3",
      providers: [{ name: "cpu", bundled: true }, {
        name: "cuda",
        bundled: false,
      }],
    },
  });
  assertEquals(text.split("\n").slice(3), [
    "WebGPU deno   NVIDIA H100 80GB HBM3",
    "              NVIDIA, driver 580.159.04",
    "              copy        2982 GB/s, read and write",
    "              kernels     f16, subgroups of 32, timestamps; no subgroup matrices",
    "              buffers     up to 1 TiB, 2 GiB a binding",
    "              workgroups  1024 threads, 48 KiB shared",
    "",
    "onnxruntime   1.2.3",
    "              cpu         bundled",
    "              cuda        needs its own library",
  ]);
});

Deno.test("describeDevices() calls a software adapter no GPU, and says why a copy failed", () => {
  const text = describeDevices({
    ...BARE,
    webgpu: [{
      provider: "deno",
      adapters: [{
        ...ADAPTER,
        facts: { ...ADAPTER.facts, name: "llvmpipe", software: true },
        copy: { error: "GPU out of memory" },
      }],
    }],
  });
  assertStringIncludes(text, "llvmpipe (software: right, but no GPU)");
  assertStringIncludes(text, "copy        GPU out of memory");
});

Deno.test("describeDevices() names every feature and limit where asked to", () => {
  const devices: Devices = {
    ...BARE,
    webgpu: [{ provider: "deno", adapters: [ADAPTER] }],
  };
  assert(!describeDevices(devices).includes("shader-f16"));
  const text = describeDevices(devices, true);
  assertStringIncludes(text, "shader-f16     yes");
  assertStringIncludes(text, "maxBindGroups  4");
});

// In a process of its own: it loads the GPU's drivers.
Deno.test("devices --json lists the CPU, both WebGPU providers and onnxruntime's", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-check",
      "--frozen",
      "--no-prompt",
      "--cached-only",
      "--allow-read",
      "--allow-env",
      "--allow-sys",
      "--allow-ffi",
      fileURLToPath(new URL("devices.ts", import.meta.url)),
      "--json",
    ],
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  const { processor, webgpu, onnxruntime }: Devices = JSON.parse(
    new TextDecoder().decode(stdout),
  );
  assert(processor.cores >= 1);
  assertEquals(webgpu.map(({ provider }) => provider), ["deno", "dawn"]);
  for (const { facts, copy } of webgpu.flatMap(({ adapters }) => adapters)) {
    assert(facts.name !== "");
    assert("bytesPerSecond" in copy, JSON.stringify(copy));
    assert(copy.bytesPerSecond > 1e8 && copy.bytesPerSecond < 1e14);
  }
  assert("providers" in onnxruntime, JSON.stringify(onnxruntime));
  assert(onnxruntime.providers.some(({ name }) => name === "cpu"));
});
