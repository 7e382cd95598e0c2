// A small writer of ONNX graphs: nodes are added in order of execution and
// values are their names. Knows the format and nothing of models.

import proto from "onnx-proto";

const { onnx } = proto;

/** Element types that graphs here use. */
export type ElementType = "float32" | "float64" | "int64";

/** The value of an attribute: an integer, a list of them, a tagged float, or text. */
export type Attribute = number | readonly number[] | { float: number } | string;

/** An axis: its length, or a name where it is only known at run time. */
export type Axis = number | string;

const ELEMENT = onnx.TensorProto.DataType;
const ELEMENTS = {
  float32: ELEMENT.FLOAT,
  float64: ELEMENT.DOUBLE,
  int64: ELEMENT.INT64,
} as const;

/** The standard operators of opset 23, and onnxruntime's own under "com.microsoft". */
const OPSETS = [
  { domain: "", version: 23 },
  { domain: "com.microsoft", version: 1 },
];

/** Operators that live in onnxruntime's own domain. */
const CONTRIBUTED: ReadonlySet<string> = new Set([
  "FusedMatMul",
  "QuickGelu",
  "RotaryEmbedding",
  "SkipSimplifiedLayerNormalization",
]);

/** Writes one ONNX graph. */
export class GraphBuilder {
  #nodes: proto.onnx.INodeProto[] = [];
  #inputs = new Map<string, proto.onnx.IValueInfoProto>();
  #outputs: proto.onnx.IValueInfoProto[] = [];
  #initializers: proto.onnx.ITensorProto[] = [];
  #constants = new Map<string, string>();
  #external = new Map<string, Float32Array>();
  #renamed = new Map<string, string>();
  #count = 0;

  /**
   * Declares an input; declaring it twice is the same as once.
   *
   * @returns Its name.
   */
  input(name: string, type: ElementType, shape: readonly Axis[]): string {
    this.#inputs.set(name, valueInfo(name, type, shape));
    return name;
  }

  /**
   * Adds a weight that lies beside the model: `externals` hands it over at session creation.
   *
   * @returns Its name.
   */
  externalWeight(
    name: string,
    data: Float32Array,
    shape: readonly number[],
  ): string {
    if (this.#external.has(name)) return name;
    this.#external.set(name, data);
    this.#initializers.push({
      name,
      dataType: ELEMENT.FLOAT,
      dims: [...shape],
      dataLocation: onnx.TensorProto.DataLocation.EXTERNAL,
      externalData: [
        { key: "location", value: name },
        { key: "offset", value: "0" },
        { key: "length", value: String(data.byteLength) },
      ],
    });
    return name;
  }

  /** An int64 vector constant. */
  ints(values: readonly number[]): string {
    return this.#constant("int64", values, [values.length]);
  }

  /** An f32 constant. */
  floats(values: ArrayLike<number>, shape: readonly number[]): string {
    return this.#constant("float32", Array.from(values), shape);
  }

  /**
   * Adds a node with one output.
   *
   * @param op Operator; the domain follows from it.
   * @param inputs Values; "" leaves an optional one out.
   * @returns The output's name.
   */
  node(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string {
    const [output] = this.nodes(op, inputs, attributes, [op]);
    return output!;
  }

  /**
   * Adds a node with several outputs.
   *
   * @param wanted One label an output; "" leaves an optional one out.
   * @returns The outputs' names.
   */
  nodes(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    wanted: readonly string[],
  ): string[] {
    const output = wanted.map((label) =>
      label === "" ? "" : `${label}_${this.#count++}`
    );
    this.#nodes.push({
      opType: op,
      domain: CONTRIBUTED.has(op) ? "com.microsoft" : "",
      name: `${op}_${this.#nodes.length}`,
      input: [...inputs],
      output,
      attribute: Object.entries(attributes).map(([name, value]) =>
        attributeProto(name, value)
      ),
    });
    return output;
  }

  /** x reshaped; 0 keeps an axis, -1 is what remains. */
  reshape(x: string, shape: readonly number[]): string {
    return this.node("Reshape", [x, this.ints(shape)]);
  }

  transpose(x: string, perm: readonly number[]): string {
    return this.node("Transpose", [x], { perm });
  }

  /** Elements [start, end) of one axis. */
  slice(x: string, axis: number, start: number, end: number): string {
    return this.node("Slice", [
      x,
      this.ints([start]),
      this.ints([end]),
      this.ints([axis]),
    ]);
  }

  /** Makes the result `value` of a node an output called `name`. */
  output(
    name: string,
    value: string,
    type: ElementType,
    shape: readonly Axis[],
  ): void {
    this.#renamed.set(value, name);
    this.#outputs.push(valueInfo(name, type, shape));
  }

  /** The weights that lie beside the model, under their names. */
  externals(): { path: string; data: Uint8Array }[] {
    return [...this.#external].map(([path, data]) => ({
      path,
      data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    }));
  }

  /** The model as ONNX's protocol buffer. */
  encode(): Uint8Array {
    // An output is a node's result under another name; an Identity node would copy it.
    const rename = (value: string) => this.#renamed.get(value) ?? value;
    const graph = {
      name: "graph",
      node: this.#nodes.map((node) => ({
        ...node,
        input: node.input!.map(rename),
        output: node.output!.map(rename),
      })),
      input: [...this.#inputs.values()],
      output: this.#outputs,
      initializer: this.#initializers,
    };
    return onnx.ModelProto.encode({
      irVersion: 10,
      opsetImport: OPSETS,
      graph,
    }).finish();
  }

  #constant(
    type: "int64" | "float32",
    values: readonly number[],
    shape: readonly number[],
  ): string {
    const key = `${type}[${shape}]:${values}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = `constant_${this.#constants.size}`;
    this.#constants.set(key, name);
    this.#initializers.push({
      name,
      dataType: ELEMENTS[type],
      dims: [...shape],
      ...(type === "int64"
        ? { int64Data: [...values] }
        : { floatData: [...values] }),
    });
    return name;
  }
}

function attributeProto(
  name: string,
  value: Attribute,
): proto.onnx.IAttributeProto {
  const kind = onnx.AttributeProto.AttributeType;
  if (typeof value === "number") return { name, type: kind.INT, i: value };
  if (typeof value === "string") {
    return { name, type: kind.STRING, s: new TextEncoder().encode(value) };
  }
  if ("float" in value) return { name, type: kind.FLOAT, f: value.float };
  return { name, type: kind.INTS, ints: [...value] };
}

function valueInfo(
  name: string,
  type: ElementType,
  shape: readonly Axis[],
): proto.onnx.IValueInfoProto {
  const dim = shape.map((axis) =>
    typeof axis === "number" ? { dimValue: axis } : { dimParam: axis }
  );
  return {
    name,
    type: { tensorType: { elemType: ELEMENTS[type], shape: { dim } } },
  };
}
