// A model's configuration: config.json's names, camelCased.

/** llama3's frequency scaling, or none. Linear and yarn scaling are refused. */
export type RopeScaling = {
  readonly type: "llama3";
  readonly factor: number;
  readonly lowFreqFactor: number;
  readonly highFreqFactor: number;
  readonly originalMaxPositionEmbeddings: number;
};

/** The numbers that define a decoder, named as in Hugging Face's config.json. */
export interface ModelConfig {
  readonly modelType: "llama" | "mistral" | "qwen2";
  readonly vocabSize: number;
  /** D */
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  /** L */
  readonly numHiddenLayers: number;
  /** H */
  readonly numAttentionHeads: number;
  /** G */
  readonly numKeyValueHeads: number;
  /** d */
  readonly headDim: number;
  readonly maxPositionEmbeddings: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling?: RopeScaling;
  readonly tieWordEmbeddings: boolean;
  /** Whether q, k and v projections have biases. */
  readonly attentionBias: boolean;
}
