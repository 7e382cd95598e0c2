// The parent's side of the engine process: starts it, asks it, and says how it
// died when it did.

import { decodedLines } from "./lines.ts";
import { isOutOfMemory } from "./out_of_memory.ts";
import type { WorkerReply, WorkerRequest } from "./worker_protocol.ts";

/** What the engine process may do: read models, write moments, load native code, ask for a GPU's driver. */
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-net",
  "--allow-ffi",
  "--allow-sys",
  "--allow-run=nvidia-smi",
];

/** Lines of standard error that are kept to explain a death. */
const STDERR_LINES = 40;

/** The engine process ended without an answer. */
export class WorkerDeath extends Error {
  override name = "WorkerDeath";
  /** "oom" where it was killed by someone else's SIGKILL or said that memory ran out. */
  readonly status: "oom" | "failed";

  constructor(message: string, status: "oom" | "failed") {
    super(message);
    this.status = status;
  }
}

/** The engine process took longer than it may, and was ended. */
export class WorkerTimeout extends Error {
  override name = "WorkerTimeout";
}

/** The caller's signal was aborted; the engine process was ended. */
export class WorkerInterrupted extends Error {
  override name = "WorkerInterrupted";
}

/** How to wait for an answer. */
export interface RequestOptions {
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
  onReply?(reply: WorkerReply): void;
}

/** One engine process. */
export class WorkerClient {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #replies: AsyncGenerator<string>;
  readonly #stderr: Promise<void>;
  readonly #stderrLines: string[] = [];
  #killed = false;

  /** Starts the process; it opens nothing before it is asked. */
  constructor(onStderr: (line: string) => void = () => {}) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--config",
        localPath("../../deno.json"),
        ...PERMISSIONS,
        localPath("./worker.ts"),
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#replies = decodedLines(this.#child.stdout);
    this.#stderr = this.#readStderr(onStderr);
  }

  /** The process id. */
  get pid(): number {
    return this.#child.pid;
  }

  async #readStderr(onStderr: (line: string) => void): Promise<void> {
    for await (const line of decodedLines(this.#child.stderr)) {
      this.#stderrLines.push(line);
      if (this.#stderrLines.length > STDERR_LINES) this.#stderrLines.shift();
      onStderr(line);
    }
  }

  /**
   * Sends a request and waits for its answer.
   *
   * @param request What to do.
   * @param options Limits, and who sees progress.
   * @returns The answer: not "progress", not "log".
   * @throws {WorkerDeath} If the process ends first.
   * @throws {WorkerTimeout} If it takes too long; the process is ended.
   * @throws {WorkerInterrupted} If the signal is aborted; the process is ended.
   */
  async request(
    request: WorkerRequest,
    options: RequestOptions = {},
  ): Promise<Exclude<WorkerReply, { type: "progress" | "log" }>> {
    const { signal, timeoutSeconds } = options;
    let ended: "timeout" | "interrupt" | undefined;
    const end = (why: "timeout" | "interrupt") => {
      ended ??= why;
      this.kill();
    };
    const interrupt = () => end("interrupt");
    if (signal?.aborted) interrupt();
    signal?.addEventListener("abort", interrupt);
    const timer = timeoutSeconds === undefined
      ? undefined
      : setTimeout(() => end("timeout"), timeoutSeconds * 1000);
    try {
      await this.#send(request);
      while (true) {
        const next = await this.#replies.next();
        if (next.done) break;
        const reply = parseReply(next.value);
        options.onReply?.(reply);
        if (reply.type !== "progress" && reply.type !== "log") return reply;
      }
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", interrupt);
    }
    if (ended === "interrupt") throw new WorkerInterrupted("Interrupted");
    if (ended === "timeout") {
      await this.#child.status;
      throw new WorkerTimeout(
        `the cell took longer than timeoutSeconds: ${timeoutSeconds}`,
      );
    }
    throw await this.#death();
  }

  async #send(request: WorkerRequest): Promise<void> {
    try {
      await this.#writer.write(
        new TextEncoder().encode(`${JSON.stringify(request)}\n`),
      );
    } catch {
      // A process that is gone closes its pipe; reading its output says how it went.
    }
  }

  async #death(): Promise<Error> {
    const status = await this.#child.status;
    await this.#stderr.catch(() => {});
    if (status.signal === "SIGINT" || status.signal === "SIGTERM") {
      return new WorkerInterrupted("Interrupted");
    }
    const said = this.#stderrLines.filter((line) => line.trim() !== "");
    const text = said.join(" ");
    const how = status.signal === null
      ? `exit code ${status.code}`
      : status.signal;
    if (status.signal === "SIGKILL" && !this.#killed) {
      return new WorkerDeath(
        "the engine process was killed by SIGKILL, as the system does when memory runs out",
        "oom",
      );
    }
    const last =
      said.findLast((line) => /error|fatal|panic|abort/i.test(line)) ??
        said.at(-1) ?? "no message";
    return new WorkerDeath(
      `the engine process ended with ${how}: ${last.trim()}`,
      isOutOfMemory(text) ? "oom" : "failed",
    );
  }

  /** Ends the process at once. */
  kill(): void {
    this.#killed = true;
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }

  /** Lets the process end by itself, for at most 2 seconds. */
  async close(): Promise<void> {
    const timer = setTimeout(() => this.kill(), 2000);
    await this.#writer.close().catch(() => {});
    await this.#child.status;
    clearTimeout(timer);
    await this.#replies.return(undefined);
    await this.#stderr.catch(() => {});
  }
}

/** Anything on standard output that is not of the protocol belongs to a library. */
function parseReply(line: string): WorkerReply {
  try {
    const reply = JSON.parse(line);
    if (typeof reply?.type === "string") return reply as WorkerReply;
  } catch {
    // Not JSON.
  }
  return { type: "log", message: line };
}

function localPath(relative: string): string {
  const url = new URL(relative, import.meta.url);
  return decodeURIComponent(url.pathname);
}
