// Compiled graphs by key, the latest few of them.

import type { GraphBuilder } from "../../linalg/onnx_graph.ts";
import {
  createSession,
  type ort,
  type RuntimeOptions,
} from "../../linalg/onnx_runtime.ts";

/** Graphs kept: each holds the memory of its largest run. */
const LIMIT = 8;

/** Sessions that are made when asked for and released when long unused. */
export class SessionPool {
  #sessions = new Map<string, ort.InferenceSession>();
  #options: RuntimeOptions;

  constructor(options: RuntimeOptions) {
    this.#options = options;
  }

  /** The session of `key`; `build` is called where there is none. */
  async get(
    key: string,
    build: () => GraphBuilder,
    options: RuntimeOptions = this.#options,
  ): Promise<ort.InferenceSession> {
    let session = this.#sessions.get(key);
    this.#sessions.delete(key);
    if (session === undefined) {
      for (const [oldest, unused] of this.#sessions) {
        if (this.#sessions.size < LIMIT) break;
        this.#sessions.delete(oldest);
        await unused.release();
      }
      session = await createSession(build(), options);
    }
    this.#sessions.set(key, session);
    return session;
  }

  /** Releases the session of `key`, if there is one. */
  async release(key: string): Promise<void> {
    const session = this.#sessions.get(key);
    this.#sessions.delete(key);
    await session?.release();
  }

  async close(): Promise<void> {
    for (const session of this.#sessions.values()) await session.release();
    this.#sessions.clear();
  }
}
