import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { describeDevices, type Devices, findDevices } from "./devices.ts";

const BARE: Devices = {
  processor: { model: "Some CPU", cores: 2, memoryBytes: 8 * 2 ** 30 },
  adapters: [],
  onnxruntime: { error: "cannot open shared object" },
};

Deno.test("describeDevices() says what is not there", () => {
  assertEquals(describeDevices(BARE).split("\n"), [
    "CPU      Some CPU, 2 cores, 8.0 GiB",
    "WebGPU   no adapter answers",
    "onnx     does not load: cannot open shared object",
  ]);
});

Deno.test("describeDevices() calls a software adapter no GPU", () => {
  const text = describeDevices({
    ...BARE,
    adapters: [{
      powerPreference: "low-power",
      description: "llvmpipe",
      vendor: "",
      isFallback: true,
      features: ["shader-f16"],
      limits: { maxBufferSize: 1024 },
    }],
    onnxruntime: {
      version: "1.2.3",
      providers: [{ name: "cpu", bundled: true }, {
        name: "cuda",
        bundled: false,
      }],
    },
  });
  assertStringIncludes(text, "llvmpipe (software, not a GPU)");
  assertStringIncludes(text, "vendor not named");
  assertStringIncludes(text, "maxBufferSize 1024");
  assertStringIncludes(text, "cuda: needs its own library");
});

Deno.test("findDevices() finds at least the CPU and onnxruntime's CPU provider", async () => {
  const { processor, onnxruntime } = await findDevices();
  assert(processor.cores >= 1);
  assert("providers" in onnxruntime, JSON.stringify(onnxruntime));
  assert(onnxruntime.providers.some(({ name }) => name === "cpu"));
});
