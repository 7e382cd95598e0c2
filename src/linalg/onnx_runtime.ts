// onnxruntime sessions with the settings that this suite needs everywhere.

import * as ort from "onnxruntime-node";
import type { GraphBuilder } from "./onnx_graph.ts";

export { ort };

/** How a graph is run. */
export interface RuntimeOptions {
  /** @default "cpu" */
  readonly device?: "cpu" | "webgpu";
  /** CPU threads. @default the number of cores */
  readonly threads?: number;
}

/**
 * Compiles a graph.
 *
 * @param graph The finished graph.
 * @param options Where it runs.
 * @returns A session, to be released by its owner.
 */
export function createSession(
  graph: GraphBuilder,
  options: RuntimeOptions = {},
): Promise<ort.InferenceSession> {
  const externalData = graph.externals();
  return ort.InferenceSession.create(graph.encode(), {
    executionProviders: [options.device ?? "cpu"],
    intraOpNumThreads: options.threads ?? navigator.hardwareConcurrency,
    // Idle threads of one live session would otherwise spin against the next.
    extra: { session: { intra_op: { allow_spinning: "0" } } },
    logSeverityLevel: 3,
    ...(externalData.length > 0 ? { externalData } : {}),
  });
}
