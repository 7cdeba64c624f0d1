// @shakti/tensor: tensors with gradients on an ordered stream of commands.
import { install } from './ops/index.js'

install()

export { Tensor, type NestedArray } from './tensor.js'
export { dtypes, dtypeSize, isFloating, promote, type DType, type NumberArray } from './dtype.js'
export * from './errors.js'
export * from './creation.js'
export { manualSeed, getRngState, setRngState, type RngState } from './random.js'
export { keep, tidy, tidyAsync } from './scope.js'
export {
  blockBytes,
  clearCache,
  memory,
  resetPeakMemoryStats,
  setMemoryLimit,
  type MemoryStats,
  type PageStats,
} from './storage.js'
export { getDefaultDevice, setDefaultDevice, type DeviceName } from './native/places.js'
export {
  cudaDevices,
  deviceInfo,
  isCudaAvailable,
  profile,
  resetDevice,
  setNumThreads,
  synchronize,
  type CpuInfo,
  type CudaInfo,
  type DeviceInfo,
  type OpProfile,
} from './device.js'
export { capture, type Capture } from './capture.js'
export { isGradEnabled, noGrad } from './autograd/tape.js'
export type { BackwardOptions } from './autograd/backward.js'
export { detectAnomaly } from './autograd/anomaly.js'
export { checkpoint, customFunction } from './autograd/custom.js'
export { gradcheck, type GradcheckOptions } from './autograd/gradcheck.js'
export { scalarOn, where, type TensorLike } from './ops/elementwise.js'
export { cat, stack, type SliceRange } from './ops/shape-ops.js'
export type { Dims, KeepDim, ValuesAndIndices } from './ops/reduce.js'
export { embedding } from './ops/index-ops.js'
export { layerNorm, rmsNorm } from './ops/norm.js'
export { normRope } from './ops/norm-rope.js'
export { crossEntropy, type CrossEntropyOptions } from './ops/loss.js'
export { linearCrossEntropy, type LinearCrossEntropyOptions } from './ops/linear-cross-entropy.js'
export { scaledDotProductAttention, type AttentionOptions } from './ops/attention.js'
export {
  applyEpilogue,
  getFloat32MatmulPrecision,
  setFloat32MatmulPrecision,
  type Epilogue,
  type LinearOptions,
  type MatmulOptions,
  type MatmulPrecision,
} from './ops/matmul.js'
export { packedLinear, PackedWeight, packWeight } from './ops/packed.js'
export {
  quantizedLinear,
  quantizedLinears,
  quantizedSwiglu,
  QuantizedWeight,
  quantLayoutVersion,
  quantizeWeight,
  type QuantBits,
  type QuantGroup,
  type QuantizeOptions,
} from './ops/quant.js'
export { conv2d, dropout, interpolate, rope, swiglu, type Conv2dOptions } from './ops/nn.js'
export { adamw_, clipGradNorm_, clipScale, globalNorm, type AdamWOptions } from './optim.js'
export * from './io/index.js'
