import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { join } from "node:path";
import { runOurs } from "../bench/peers/ours.ts";
import { runMeasured, usableCpus } from "../bench/peers/measured_process.ts";
import { InputError } from "../src/base/errors.ts";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import { requirement } from "./fixtures/requirements.ts";
import { writeTinyFolder } from "./fixtures/tiny_folder.ts";

const { ignore } = requirement("python");

Deno.test("ours export writes the weights that were read, with tokens of both texts", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const model = join(folder, "tiny");
    await writeTinyFolder(model, "llama");
    const out = join(folder, "out");
    await Deno.mkdir(out);
    const result = await runOurs({
      mode: "export",
      model,
      text: "brown",
      samples: 2,
      windows: 1,
      threads: 1,
      passes: 2,
      momentsFolder: join(folder, "moments"),
      folder: out,
    });
    assertEquals(result.ids.map((ids) => ids.length), [256, 256]);
    assertEquals(result.windows.map((window) => window.length), [2048]);
    const [read, written] = [
      await openCheckpoint(model),
      await openCheckpoint(out),
    ];
    const names = read.tensors.list().map(({ name }) => name);
    assertEquals(
      written.tensors.list().map(({ name }) => name).toSorted(),
      names.toSorted(),
    );
    for (const name of names) {
      assertEquals(
        await written.tensors.read(name),
        await read.tensors.read(name),
        name,
      );
    }
    assertEquals(written.configJson, read.configJson);
    read.tensors.close();
    written.tensors.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test({
  name: "runMeasured() pins a process, and sees its memory and time",
  ignore,
  async fn() {
    const [first] = await usableCpus("python3");
    const where = { python: "python3", cpus: [first!.cpu] };
    const program =
      "import os; b = b'x' * (200 << 20); print(len(os.sched_getaffinity(0)), os.environ['SIDE'])";
    const run = await runMeasured(["python3", "-c", program], {
      ...where,
      env: { SIDE: "ours" },
    });
    assertEquals(run.output, "1 ours\n");
    assert(run.peakRssBytes > 200 << 20, `${run.peakRssBytes}`);
    assert(run.peakRssBytes < 400 << 20, `${run.peakRssBytes}`);
    assert(run.wallSeconds > 0 && run.cpuSeconds > 0);
    const idle = await runMeasured(["python3", "-c", ""], where);
    assert(idle.peakRssBytes < 100 << 20, `${idle.peakRssBytes}`);
  },
});

Deno.test({
  name:
    "runMeasured() says how a process ended, and that there is no such Python",
  ignore,
  async fn() {
    const where = {
      python: "python3",
      cpus: [(await usableCpus("python3"))[0]!.cpu],
    };
    const failed = await assertRejects(
      () => runMeasured(["python3", "-c", "exit(7)"], where),
      InputError,
    );
    assertStringIncludes(failed.message, "ended with exit code 7");
    await assertRejects(
      () => usableCpus("no-such-python"),
      InputError,
      "Cannot run no-such-python as it is not there",
    );
  },
});
