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
export * from './generate/index.js'
export {
  imageUnderControl,
  scoreAnswers,
  type Answered,
  type Asked,
  type Control,
  type Score,
  type ScoreOptions,
} from './scoreAnswers.js'
export {
  ImageProcessor,
  normalizePixels,
  type ImageLimits,
  type ImageSource,
} from './processor/image.js'
export { fromHfConfig, toHfConfig, type HfConfigOptions } from './hf/config.js'
export { fromPretrained, type LoadPretrainedOptions } from './hf/loading.js'
export { savePretrained, type SaveOptions } from './hf/saving.js'
export { initPretrained, type InitPretrainedOptions } from './hf/init.js'
export {
  checkProcessor,
  chooseSize,
  fittingPatchSizes,
  ImageError,
  type PatchedSize,
  type ProcessorConfig,
} from './processor/size.js'
export { resizeBicubic, type Size } from './processor/resize.js'
export { fromHfPreprocessor, toHfPreprocessor } from './processor/preprocessor.js'
export { processorFromPretrained } from './hf/processor.js'
export {
  quantizationIn,
  quantizeModel_,
  type QuantizationConfig,
  type QuantizationOptions,
} from './hf/quantization.js'
export {
  quantizePretrained,
  type QuantizationReport,
  type QuantizedLayer,
  type QuantizePretrainedOptions,
} from './hf/quantize.js'
export {
  inspectConfig,
  inspectPretrained,
  type InspectedFolder,
  type InspectedModule,
  type InspectedTensor,
  type Precision,
} from './hf/inspect.js'
export { memoryBudget, type MemoryBudget, type MemoryBudgetOptions } from './budget/memoryBudget.js'
export { perplexity, type Perplexity, type PerplexityOptions } from './perplexity.js'
export type { Progress, WriteOptions } from './hf/folder.js'
export {
  checkImages,
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
  decoderConfigOf,
  importDecoder,
  type ImportDecoderOptions,
  type ImportOptions,
} from './hf/import/decoder.js'
export { importVision, type ImportVisionOptions } from './hf/import/vision.js'
export {
  importPretrained,
  partsOf,
  type ImportPretrainedOptions,
  type PretrainedImport,
  type PretrainedSources,
} from './hf/import/pretrained.js'
export type { ImportReport } from './hf/import/mapping.js'
export * from './gguf/index.js'
