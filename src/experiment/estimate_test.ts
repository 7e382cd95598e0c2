import { assert, assertEquals } from "@std/assert";
import { SYNTHETIC_CONFIGS } from "../model/synthetic.ts";
import { estimateCells } from "./estimate.ts";
import { parseExperiment } from "./experiment_file.ts";
import { planExperiment } from "./plan.ts";

const YAML = `
name: estimate
model: synthetic:tiny
engine: { name: webgpu }
variants: [{ method: original }]
measure: { contexts: [64], cache: {}, throughput: { batch: 1 } }
`;

Deno.test("estimateCells() takes a software adapter for a thousandth of a GPU", () => {
  const config = SYNTHETIC_CONFIGS["tiny"]!;
  const plan = planExperiment(
    parseExperiment(YAML, "estimate.yaml"),
    {
      requestedModels: ["synthetic:tiny"],
      modelsNotHad: [],
      modelName: "synthetic:tiny",
      modelSha256: "0",
      config,
      files: [],
      textSha256: {},
      textCharacters: {},
    },
    "machine",
  );
  const { cells, experiment, inputs } = plan;
  const gpu = estimateCells(cells, experiment, inputs, "gpu");
  const software = estimateCells(cells, experiment, inputs, "software");
  assertEquals(gpu.length, 2);
  assert(Math.abs(software[0]!.seconds / gpu[0]!.seconds - 1000) < 1e-6);
  assert(software[1]!.seconds > 100 * gpu[1]!.seconds);
  assertEquals(
    software.map(({ memoryBytes }) => memoryBytes),
    gpu.map(({ memoryBytes }) => memoryBytes),
  );
});
