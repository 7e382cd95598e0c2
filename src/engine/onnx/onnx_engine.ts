// The onnx engine: decoders as ONNX graphs in onnxruntime, on the CPU or through
// its own WebGPU provider.

import { UnavailableError } from "../../base/errors.ts";
import { GraphBuilder } from "../../linalg/onnx_graph.ts";
import { createSession, ort } from "../../linalg/onnx_runtime.ts";
import { adapterName } from "./adapter_name.ts";
import type { DecoderModel } from "../../model/decoder.ts";
import type { Engine, EngineOptions } from "../engine.ts";
import type { Target } from "./graph_scope.ts";
import { loadModel } from "./loaded_model.ts";
import { OnnxSession } from "./onnx_session.ts";

/**
 * Opens the onnx engine.
 *
 * @param options How to run.
 * @returns The engine.
 * @throws {RangeError} If dtype is f16, which onnxruntime-node does not take.
 * @throws {UnavailableError} If device is webgpu and there is no adapter.
 */
export async function openOnnxEngine(options: EngineOptions): Promise<Engine> {
  const { dtype = "f32", device = "cpu", threads } = options;
  if (dtype !== "f32") {
    throw new RangeError(
      `Cannot open the onnx engine as dtype must be "f32" (onnxruntime-node takes no f16 tensors): current value is "${dtype}"`,
    );
  }
  if (threads !== undefined && !(Number.isInteger(threads) && threads > 0)) {
    throw new RangeError(
      `Cannot open the onnx engine as threads must be a positive integer: current value is ${threads}`,
    );
  }
  await probe(device);
  const runtime = { device, ...(threads === undefined ? {} : { threads }) };
  const sessions: OnnxSession[] = [];
  const adapter = device === "webgpu" ? await adapterName() : undefined;
  return {
    describe: () => ({
      name: "onnx",
      provider: device,
      dtype,
      ...(adapter === undefined ? {} : { adapter }),
      version: `onnxruntime ${ort.env.versions.node}`,
    }),
    async open(model: DecoderModel) {
      const loaded = await loadModel(model, device);
      const session = new OnnxSession(loaded, runtime);
      sessions.push(session);
      return session;
    },
    async close() {
      for (const session of sessions) await session.close();
    },
  };
}

/** Runs a graph of one node, so that a missing device shows before a model is read. */
async function probe(device: Target["device"]): Promise<void> {
  const graph = new GraphBuilder();
  const x = graph.input("x", "float32", [1]);
  graph.output("y", graph.node("Add", [x, x]), "float32", [1]);
  try {
    const session = await createSession(graph, { device });
    await session.run({ x: new ort.Tensor("float32", [1], [1]) });
    await session.release();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // onnxruntime puts the failed condition and its source line before the reason.
    const reason = message.replace(/^.* was false\. /s, "").split("\n", 1)[0];
    throw new UnavailableError(
      `Cannot open the onnx engine on device "${device}" as onnxruntime cannot run there: ${reason}`,
      { cause: error },
    );
  }
}
