import { assertEquals } from "@std/assert";
import { delimiter, join } from "node:path";

/** What a process finds that has this nvidia-smi, a shell script, on its PATH. */
async function found(
  script: string | undefined,
  permission = "--allow-run=nvidia-smi",
): Promise<unknown> {
  const folder = await Deno.makeTempDir({ prefix: "nvidia-" });
  try {
    if (script !== undefined) {
      await Deno.writeTextFile(
        join(folder, "nvidia-smi"),
        `#!/bin/sh\n${script}`,
        {
          mode: 0o755,
        },
      );
    }
    const main = join(folder, "main.ts");
    await Deno.writeTextFile(
      main,
      `import { nvidiaGpu } from "${new URL("./nvidia.ts", import.meta.url)}";
       const [first, second] = await Promise.all([nvidiaGpu(), nvidiaGpu()]);
       if (first !== second) throw new Error("asked twice");
       console.log(JSON.stringify(first ?? null));`,
    );
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-config",
        "--no-prompt",
        "--allow-env",
        permission,
        main,
      ],
      env: {
        PATH: script === undefined
          ? folder
          : `${folder}${delimiter}${Deno.env.get("PATH") ?? ""}`,
      },
      stdin: "null",
      stderr: "null",
    }).output();
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("nvidiaGpu() gives the first GPU, asked once, and nothing without the tool or the permission", async () => {
  const two = `echo "NVIDIA H100 80GB HBM3, 580.159.04"; echo "other, 1"`;
  assertEquals(await found(two), {
    name: "NVIDIA H100 80GB HBM3",
    driver: "580.159.04",
  });
  assertEquals(await found(two, "--deny-run"), null);
  assertEquals(await found("echo 'No devices were found'"), null);
  assertEquals(await found("echo 'a, 1'; exit 9"), null);
  assertEquals(await found(undefined), null);
});
