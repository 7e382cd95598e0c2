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
  readonly #options: RuntimeOptions;
  #sessions = new Map<string, ort.InferenceSession>();
  /** The key of the only session that is kept of each family. */
  #only = new Map<string, string>();

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
    if (session === undefined) {
      for (const oldest of [...this.#sessions.keys()].slice(0, 1 - LIMIT)) {
        await this.#release(oldest);
      }
      session = await createSession(build(), options);
    }
    // Last in order, as the latest used.
    this.#sessions.delete(key);
    this.#sessions.set(key, session);
    return session;
  }

  /** As get(), for sessions that own weights: another key of the same family is released first. */
  async getOnly(
    family: string,
    key: string,
    build: () => GraphBuilder,
  ): Promise<ort.InferenceSession> {
    const full = `${family} ${key}`;
    const before = this.#only.get(family);
    if (before !== undefined && before !== full) await this.#release(before);
    this.#only.set(family, full);
    return await this.get(full, build);
  }

  /** Releases all. */
  async close(): Promise<void> {
    for (const key of [...this.#sessions.keys()]) await this.#release(key);
  }

  async #release(key: string): Promise<void> {
    const session = this.#sessions.get(key);
    this.#sessions.delete(key);
    await session?.release();
  }
}
