import { assertEquals } from "@std/assert";
import { adapterFacts } from "./adapter_facts.ts";
import type { GpuProvider } from "./gpu.ts";

const LIMITS = {
  maxBufferSize: 2 ** 30,
  maxStorageBufferBindingSize: 2 ** 27,
  maxComputeWorkgroupStorageSize: 2 ** 15,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupsPerDimension: 65535,
};

/** As an adapter tells it. */
function info(words: Partial<GPUAdapterInfo>): GPUAdapterInfo {
  return {
    vendor: "",
    architecture: "",
    device: "",
    description: "",
    subgroupMinSize: 8,
    subgroupMaxSize: 8,
    isFallbackAdapter: false,
    ...words,
  } as GPUAdapterInfo;
}

async function named(provider: GpuProvider, words: Partial<GPUAdapterInfo>) {
  const { name, vendor, driver, software } = await adapterFacts(
    provider,
    info(words),
    LIMITS,
  );
  return { name, vendor, driver, software };
}

Deno.test("adapterFacts() reads Deno's description as the name", async () => {
  assertEquals(
    await named("deno", {
      vendor: "4098",
      device: "29631",
      description: "AMD Radeon RX 6800 (RADV NAVI21)",
    }),
    {
      name: "AMD Radeon RX 6800 (RADV NAVI21)",
      vendor: "AMD",
      driver: "",
      software: false,
    },
  );
});

Deno.test("adapterFacts() reads Dawn's description as the driver", async () => {
  assertEquals(
    await named("dawn", {
      vendor: "intel",
      architecture: "gen-12lp",
      device: "Intel(R) Arc(tm) A770",
      description: "Intel open-source Mesa driver: Mesa 23.2.1",
    }),
    {
      name: "Intel(R) Arc(tm) A770",
      vendor: "Intel",
      driver: "Intel open-source Mesa driver: Mesa 23.2.1",
      software: false,
    },
  );
});

Deno.test("adapterFacts() knows software by its name as by the fallback flag", async () => {
  assertEquals(
    await named("deno", {
      vendor: "65541",
      device: "0",
      description: "llvmpipe (LLVM 15.0.6, 256 bits)",
    }),
    { name: "llvmpipe", vendor: "Mesa", driver: "LLVM 15.0.6", software: true },
  );
  assertEquals(
    await named("dawn", {
      vendor: "google",
      architecture: "swiftshader",
      device: "swiftshader-device-subzero-",
      description: "SwiftShader driver 5.0.0",
    }),
    { name: "SwiftShader", vendor: "Google", driver: "5.0.0", software: true },
  );
  const { software } = await named("deno", {
    description: "Some CPU",
    isFallbackAdapter: true,
  });
  assertEquals(software, true);
});

Deno.test("adapterFacts() gives no subgroup size where it varies", async () => {
  const same = await adapterFacts("deno", info({}), LIMITS);
  assertEquals(same.subgroupSize, 8);
  assertEquals(same.limits, LIMITS);
  const varying = await adapterFacts(
    "deno",
    info({ subgroupMaxSize: 32 }),
    LIMITS,
  );
  assertEquals(varying.subgroupSize, 0);
});

Deno.test("adapterFacts() names an adapter that does not name itself", async () => {
  assertEquals((await named("deno", {})).name, "unnamed adapter");
});
