// What goes wrong on a device, as errors. WebGPU reports most faults beside the
// call that caused them; they are collected here and thrown where work is waited
// for.

/** What kind of fault it is: a cell that ran out of memory is no failed cell. */
export type GpuFault = "out-of-memory" | "shader" | "validation" | "lost";

/** A fault of the device or of what it was given; its message is one line. */
export class GpuError extends Error {
  override name = "GpuError";
  readonly kind: GpuFault;

  constructor(kind: GpuFault, message: string) {
    super(oneLine(message));
    this.kind = kind;
  }
}

/** A fault as the device reports it. */
export interface DeviceFault {
  /** Whether memory ran out. */
  readonly memory: boolean;
  readonly message: string;
}

/** Says what a fault of a guarded call means. */
export type Explain = (fault: DeviceFault) => GpuError | Promise<GpuError>;

// Where one fault brings others about, the first of these is the cause.
const CAUSES: readonly GpuFault[] = [
  "out-of-memory",
  "shader",
  "validation",
  "lost",
];

const SCOPES = ["validation", "out-of-memory", "internal"] as const;

/** The faults of one device. */
export class FaultLog {
  readonly #device: GPUDevice;
  readonly #standing: boolean;
  #pending: Promise<void>[] = [];
  #faults: { readonly error: GpuError; readonly explained: boolean }[] = [];
  #lost: GpuError | undefined;

  /**
   * @param device Its errors are listened to from now on.
   * @param standing Whether scopes stand open between calls of check(). Deno's uncapturederror events come a turn of the event loop after their call, which is too late for check(); Dawn's come within it.
   */
  constructor(device: GPUDevice, standing: boolean) {
    this.#device = device;
    this.#standing = standing;
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      const { error } = event as GPUUncapturedErrorEvent;
      this.#faults.push({
        error: unexplained({
          // Dawn's classes are not Deno's.
          memory: error.constructor.name === "GPUOutOfMemoryError",
          message: error.message,
        }),
        explained: false,
      });
    });
    device.lost.then(({ reason, message }) => {
      this.#lost ??= new GpuError(
        "lost",
        `Cannot go on as the GPU device was lost: ${
          [...new Set([reason, message])].filter((word) => word).join(", ")
        }`,
      );
    });
    if (standing) this.#pushScopes();
  }

  /**
   * Runs a call; its fault, if any, is explained and kept for check().
   *
   * @param explain Makes the error.
   * @param call What may fail.
   * @returns What `call` returns.
   * @throws {GpuError} If the device is lost.
   */
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
    if (this.#standing && this.#lost === undefined) {
      this.#popScopes(unexplained);
      this.#pushScopes();
    }
    const pending = this.#pending;
    this.#pending = [];
    if (pending.length > 0) await Promise.all(pending);
    const faults = this.#faults;
    this.#faults = [];
    for (const kind of CAUSES) {
      const alike = faults.filter(({ error }) => error.kind === kind);
      // What a guarded call says names its item; others may only follow from it.
      const cause = alike.find(({ explained }) => explained) ?? alike[0];
      if (cause !== undefined) throw cause.error;
    }
    this.throwIfLost();
  }

  /**
   * Finds out why waiting for the device failed.
   *
   * @param error What was thrown instead of a result.
   * @throws {GpuError} Always: the cause that is known, or `error` in its words.
   */
  async fail(error: unknown): Promise<never> {
    // A loss is announced in a later turn of the event loop.
    await nextTurn();
    await this.check();
    throw error instanceof GpuError
      ? error
      : unexplained({ memory: false, message: String(error) });
  }

  /** From now on the device counts as closed: that it goes away is no fault. */
  close(): void {
    this.#lost ??= new GpuError("lost", "Cannot use a GPU that was closed");
  }

  #pushScopes(): void {
    for (const scope of SCOPES) this.#device.pushErrorScope(scope);
  }

  #popScopes(explain: Explain): void {
    for (const scope of SCOPES.toReversed()) {
      const error = this.#device.popErrorScope();
      this.#pending.push(this.#keep(error, scope, explain));
    }
  }

  async #keep(
    scope: Promise<GPUError | null>,
    filter: GPUErrorFilter,
    explain: Explain,
  ): Promise<void> {
    // A lost device has no scopes any more; its loss is reported instead.
    const error = await scope.catch(() => null);
    if (error === null) return;
    const { message } = error;
    this.#faults.push({
      error: await explain({ memory: filter === "out-of-memory", message }),
      explained: explain !== unexplained,
    });
  }
}

/** Lets the event loop turn once: timers, events, signals. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** A message of several lines as one. */
export function oneLine(message: string): string {
  return message.replaceAll(/\s+/g, " ").trim();
}

function unexplained({ memory, message }: DeviceFault): GpuError {
  return memory
    ? new GpuError("out-of-memory", `GPU out of memory: ${message}`)
    : new GpuError("validation", `Cannot run on the GPU: ${message}`);
}
