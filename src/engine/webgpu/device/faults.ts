// What goes wrong on a device, as errors. WebGPU reports most faults beside the
// call that caused them; they are collected here and thrown where work is waited
// for.

/** What kind of fault it is: a cell that ran out of memory is no failed cell. */
export type GpuFault = "out-of-memory" | "shader" | "validation" | "lost";

/** A fault of the device or of what it was given. */
export class GpuError extends Error {
  override name = "GpuError";
  readonly kind: GpuFault;

  constructor(kind: GpuFault, message: string) {
    super(message.replaceAll(/\s*\n\s*/g, " ").trim());
    this.kind = kind;
  }
}

// Where one fault brings others about, the first of these is the cause.
const CAUSES: readonly GpuFault[] = [
  "out-of-memory",
  "shader",
  "validation",
  "lost",
];

const SCOPES = ["validation", "out-of-memory", "internal"] as const;

/** Says what a fault of a guarded call means. */
export type Explain = (error: GPUError) => GpuError | Promise<GpuError>;

/** The faults of one device. */
export class FaultLog {
  readonly #device: GPUDevice;
  readonly #standing: boolean;
  #pending: Promise<void>[] = [];
  #faults: GpuError[] = [];
  #lost: GpuError | undefined;
  #closed = false;

  /**
   * @param device Its errors are listened to from now on.
   * @param standing Whether errors outside of guarded calls are kept in scopes until check(): Deno's events come too late for it.
   */
  constructor(device: GPUDevice, standing: boolean) {
    this.#device = device;
    this.#standing = standing;
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#faults.push(plainFault((event as GPUUncapturedErrorEvent).error));
    });
    device.lost.then(({ reason, message }) => {
      if (this.#closed) return;
      this.#lost = new GpuError(
        "lost",
        `Cannot use the GPU as its device was lost: ${
          message || reason || "no reason given"
        }`,
      );
    });
    if (standing) this.#pushScopes();
  }

  /** Runs a call; its fault, if any, is explained and kept for check(). */
  guard<T>(explain: Explain, call: () => T): T {
    this.throwIfLost();
    this.#pushScopes();
    try {
      return call();
    } finally {
      this.#popScopes(explain);
    }
  }

  /** @throws {GpuError} If the device is lost. */
  throwIfLost(): void {
    if (this.#lost !== undefined) throw this.#lost;
  }

  /**
   * Throws what came up since the last call.
   *
   * @throws {GpuError} The first cause.
   */
  async check(): Promise<void> {
    if (this.#standing) {
      this.#popScopes(plainFault);
      this.#pushScopes();
    }
    const pending = this.#pending;
    this.#pending = [];
    await Promise.all(pending);
    const faults = this.#faults;
    this.#faults = [];
    for (const kind of CAUSES) {
      const fault = faults.find((fault) => fault.kind === kind);
      if (fault !== undefined) throw fault;
    }
    this.throwIfLost();
  }

  /** The device is about to be destroyed on purpose: its loss is no fault. */
  close(): void {
    this.#closed = true;
    this.#lost = new GpuError("lost", "Cannot use a GPU that was closed");
  }

  #pushScopes(): void {
    for (const scope of SCOPES) this.#device.pushErrorScope(scope);
  }

  #popScopes(explain: Explain): void {
    for (let i = 0; i < SCOPES.length; i++) {
      this.#pending.push(this.#keep(this.#device.popErrorScope(), explain));
    }
  }

  async #keep(scope: Promise<GPUError | null>, explain: Explain) {
    // A lost device has no scopes any more; its loss is reported instead.
    const error = await scope.catch(() => null);
    if (error !== null) this.#faults.push(await explain(error));
  }
}

/** Whether it is WebGPU's out-of-memory error, of whichever provider's class. */
export function isMemoryError(error: GPUError): boolean {
  return error.constructor.name === "GPUOutOfMemoryError" ||
    /not enough memory|out of memory/i.test(error.message);
}

function plainFault(error: GPUError): GpuError {
  return isMemoryError(error)
    ? new GpuError(
      "out-of-memory",
      `Cannot go on as the GPU is out of memory: ${error.message}`,
    )
    : new GpuError("validation", `Cannot run on the GPU: ${error.message}`);
}
