import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FaultLog, GpuError } from "./faults.ts";

/** A device that does as it is told: scopes as the standard has them. */
class FakeDevice extends EventTarget {
  readonly #scopes: { filter: GPUErrorFilter; error: GPUError | null }[] = [];
  readonly #lost = Promise.withResolvers<GPUDeviceLostInfo>();
  readonly lost = this.#lost.promise;

  pushErrorScope(filter: GPUErrorFilter) {
    this.#scopes.push({ filter, error: null });
  }

  popErrorScope() {
    return Promise.resolve(this.#scopes.pop()!.error);
  }

  fail(filter: GPUErrorFilter, message: string) {
    const scope = this.#scopes.findLast((scope) => scope.filter === filter);
    if (scope === undefined) {
      this.dispatchEvent(
        Object.assign(new Event("uncapturederror"), { error: { message } }),
      );
    } else scope.error ??= { message };
  }

  lose(reason: string, message: string) {
    this.#lost.resolve({ reason, message } as unknown as GPUDeviceLostInfo);
  }
}

function faulty(standing: boolean) {
  const device = new FakeDevice();
  const log = new FaultLog(device as unknown as GPUDevice, standing);
  return { device, log };
}

const inWords = ({ message }: { message: string }) =>
  new GpuError("validation", `Cannot do it: ${message}`);

Deno.test("FaultLog.check() throws each fault once, guarded or not", async () => {
  for (const standing of [true, false]) {
    const { device, log } = faulty(standing);
    log.guard(inWords, () => device.fail("validation", "wrong"));
    await assertRejects(() => log.check(), GpuError, "Cannot do it: wrong");
    await log.check();
    device.fail("validation", "also\n  wrong");
    const error = await assertRejects(() => log.check(), GpuError);
    assertEquals(error.message, "Cannot run on the GPU: also wrong");
    await log.check();
  }
});

Deno.test("FaultLog.check() throws the cause before what follows from it", async () => {
  const { device, log } = faulty(true);
  device.fail("validation", "buffer is invalid");
  log.guard(
    ({ memory }) => new GpuError(memory ? "out-of-memory" : "shader", "cause"),
    () => device.fail("out-of-memory", "no room"),
  );
  const error = await assertRejects(() => log.check(), GpuError);
  assertEquals(error.kind, "out-of-memory");
  await log.check();
});

Deno.test("FaultLog.guard() closes its scopes where the call throws", async () => {
  const { device, log } = faulty(false);
  assertThrows(
    () =>
      log.guard(inWords, () => {
        throw new TypeError("no such thing");
      }),
    TypeError,
  );
  device.fail("validation", "later");
  await assertRejects(() => log.check(), GpuError, "on the GPU: later");
});

Deno.test("FaultLog throws a loss at every call, with the reason", async () => {
  const { device, log } = faulty(true);
  device.lose("unknown", "GPU has fallen off the bus");
  const message =
    "Cannot go on as the GPU device was lost: unknown, GPU has fallen off the bus";
  await assertRejects(() => log.fail(new Error("mapping")), GpuError, message);
  for (let i = 0; i < 2; i++) {
    await assertRejects(() => log.check(), GpuError, message);
    assertThrows(() => log.throwIfLost(), GpuError, message);
    assertThrows(() => log.guard(inWords, () => {}), GpuError, message);
  }
});

Deno.test("FaultLog.fail() passes on what nothing explains", async () => {
  const { log } = faulty(true);
  await assertRejects(
    () => log.fail(new Error("not mapped")),
    GpuError,
    "Cannot run on the GPU: Error: not mapped",
  );
});
