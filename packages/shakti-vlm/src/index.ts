// @shakti/vlm: Shakti-VLM (arXiv 2502.17092), vision-language models of 1B and 4B parameters.
export {
  configSchema,
  countDecoder,
  countParameters,
  derive,
  nano,
  parseConfig,
  parseDecoderConfig,
  parseVisionConfig,
  shaktiVlm1B,
  shaktiVlm4B,
  tiny1B,
  tiny4B,
  type DecoderConfig,
  type DecoderConfigInput,
  type Derived,
  type ParameterCount,
  type RopeScalingConfig,
  type ShaktiVlmConfig,
  type ShaktiVlmConfigInput,
  type VisionConfig,
} from './config.js'
export {
  ShaktiVlm,
  visualTokens,
  type EncodedImage,
  type PlacedImages,
  type PlacedInputs,
  type VlmInputs,
} from './vlm.js'
export { PatchEmbed, VisionEncoder } from './vision/encoder.js'
export { kernelResize, pseudoInverse, resizeMatrix } from './vision/flexiPatch.js'
export { Projector } from './projector.js'
export { Decoder, type DecoderInputs } from './decoder.js'
export {
  generate,
  generateBatch,
  type BatchOptions,
  type GeneratedToken,
  type GenerateOptions,
  type Prompt,
  type TextDecoder,
} from './generate.js'
export {
  imageUnderControl,
  scoreAnswers,
  type Answered,
  type Asked,
  type Control,
  type Score,
  type ScoreOptions,
} from './scoreAnswers.js'
export { sample, seededRandom, type SamplingOptions } from './sampling.js'
export {
  chooseSize,
  fittingPatchSizes,
  ImageError,
  ImageProcessor,
  normalizePixels,
  type ImageLimits,
  type ImageSource,
  type ProcessorConfig,
} from './processor/image.js'
export {
  fromHfConfig,
  fromPretrained,
  savePretrained,
  toHfConfig,
  type SaveOptions,
} from './hf/files.js'
export {
  chunkLength,
  chunks,
  imageChunk,
  PromptError,
  splice,
  truncateChunks,
  type Chunk,
  type ImageChunk,
  type Spliced,
  type TextChunk,
} from './processor/splice.js'
export {
  importDecoder,
  type ImportDecoderOptions,
  type ImportOptions,
} from './hf/import/decoder.js'
export { importVision, type ImportVisionOptions } from './hf/import/vision.js'
export type { ImportReport } from './hf/import/mapping.js'
export * from './gguf/index.js'
