import { assertEquals } from "@std/assert";
import { shaderFault } from "./shader_fault.ts";

const CODE = "enable f16;\n@compute @workgroup_size(1)\n  let x: f32 = 1u;\n";

/** A module whose compiler complains about line 3. */
function moduleSaying(message: string): GPUShaderModule {
  return {
    getCompilationInfo: () =>
      Promise.resolve({
        messages: [
          { type: "warning", lineNum: 1, message: "deprecated" },
          { type: "error", lineNum: 3, message },
        ],
      }),
  } as unknown as GPUShaderModule;
}

async function explained(message: string): Promise<string> {
  const fault = { memory: false, message: "Module invalid" };
  const error = await shaderFault("gemv", CODE, moduleSaying(message), fault);
  assertEquals(error.kind, "shader");
  return error.message;
}

Deno.test("shaderFault() names label, line, its source and Dawn's message", async () => {
  assertEquals(
    await explained("cannot initialize 'let' of type 'f32'"),
    "Cannot compile kernel gemv, line 3 `let x: f32 = 1u;`: cannot initialize 'let' of type 'f32'",
  );
});

Deno.test("shaderFault() leaves naga's drawing of the source out, and keeps its remarks", async () => {
  const message = [
    "",
    "Shader 'gemv' parsing error: inconsistent type passed as argument #2 to `dot`",
    "  ┌─ wgsl:4:10",
    "  │",
    "4 │   y[0] = dot(q, vec2f(1.0));",
    "  │          ^^^ ^ this argument has type vec3<f32>",
    "  │              ^^^^^ argument #2 has type vec2<f32>",
    "  │",
    "  = note: allowed type: vec3<f32>",
    "",
  ].join("\n");
  assertEquals(
    await explained(message),
    "Cannot compile kernel gemv, line 3 `let x: f32 = 1u;`: inconsistent type passed as argument #2 to `dot`; this argument has type vec3<f32>; argument #2 has type vec2<f32>; note: allowed type: vec3<f32>",
  );
});

Deno.test("shaderFault() says what the device says where no line is wrong", async () => {
  const module = {
    getCompilationInfo: () => Promise.reject(new Error("device lost")),
  } as unknown as GPUShaderModule;
  for (const known of [module, undefined]) {
    const error = await shaderFault("gemv", CODE, known, {
      memory: false,
      message: "too much\n workgroup storage",
    });
    assertEquals(
      error.message,
      "Cannot build kernel gemv: too much workgroup storage",
    );
  }
});

Deno.test("shaderFault() tells a lack of memory from a wrong shader", async () => {
  const fault = { memory: true, message: "VK_ERROR_OUT_OF_HOST_MEMORY" };
  const error = await shaderFault("gemv", CODE, undefined, fault);
  assertEquals(error.kind, "out-of-memory");
});
