// @shakti/nn: layers on @shakti/tensor.
export {
  Module,
  ModuleList,
  Sequential,
  StateDictError,
  type Layer,
  type StateDict,
} from './module.js'
export { Parameter, parameter, UninitialisedError, type ParameterOptions } from './parameter.js'
export { meta } from './meta.js'
export { matchesPattern, snakeCase } from './names.js'
export { initFanIn, initNormal, initOnes, initZeros, type Initializer } from './init.js'
export {
  Conv2d,
  Dropout,
  Embedding,
  GELU,
  LayerNorm,
  Linear,
  MLP,
  RMSNorm,
  SiLU,
  SwiGLU,
  type LinearOptions,
} from './layers.js'
export {
  angles2d,
  frequencies,
  ntkBase,
  RotaryEmbedding,
  rotaryTable2d,
  scaledFrequencies,
  type RopeScaling,
  type RotaryTable,
} from './rope.js'
export { interpolationMatrix, PositionBias2d } from './positionBias.js'
export { frugal } from './frugal.js'
export {
  KVCache,
  type KeysValues,
  type KVCacheOptions,
  type KVDType,
  type KVSlice,
} from './kvCache.js'
export { Attention, type AttentionConfig, type AttentionInputs, type QkNorm } from './attention.js'
export { throughBlocks, TransformerBlock, type BlockConfig, type NormScheme } from './block.js'
export { addLora, LoRALinear } from './lora.js'
export { pack_, PackedLinear, unpack_ } from './packed.js'
export type { WhichLinears } from './replace.js'
export { quantize_, QuantizedLinear, type QuantizeModuleOptions } from './quantize.js'
