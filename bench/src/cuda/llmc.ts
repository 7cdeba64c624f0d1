// What kernels of llm.c (github.com/karpathy/llm.c, MIT) do at the sizes counted here: figures alone, taken once with this repository's
// simulator on 2026-11-26 (`cuda-sim run --arch 80`, PTX by nvcc 13.0 with llm.c's own flags, -O3 --use_fast_math, which make expf, tanhf
// and divisions a few instructions; ours are accurate). Its code is not here.
export interface Foreign {
  /** Of `cases`: what ours are that do the same. */
  readonly ops: readonly string[]
  readonly what: string
  readonly kernel: string
  readonly file: string
  readonly commit: string
  readonly elements: number
  /** Least bytes of the work as a whole: theirs, and ours, which may be of another dtype. */
  readonly least: number
  readonly ourLeast: number
  readonly sectors: number
  readonly idealSectors: number
  readonly requests: number
  readonly warpInstructions: number
}

const n = 1 << 18

export const llmc: readonly Foreign[] = [
  {
    ops: ['gelu bf16'],
    what: 'GELU bf16 (theirs by tanh, ours by erf)',
    kernel: 'gelu_forward_kernel2',
    file: 'dev/cuda/gelu_forward.cu',
    commit: '06980b6',
    elements: n,
    least: 4 * n,
    ourLeast: 4 * n,
    sectors: 32768,
    idealSectors: 32768,
    requests: 2048,
    warpInstructions: 107520,
  },
  {
    ops: ['AdamW, gradients in f32'],
    what: 'AdamW f32',
    kernel: 'adamw_kernel3',
    file: 'dev/cuda/adamw.cu',
    commit: '10c706a',
    elements: n,
    least: 28 * n,
    ourLeast: 28 * n,
    sectors: 229376,
    idealSectors: 229376,
    requests: 57344,
    warpInstructions: 540672,
  },
  {
    ops: ['globalNorm f32'],
    what: 'sum of squares f32',
    kernel: 'norm_kernel4',
    file: 'dev/cuda/global_norm.cu',
    commit: '0f6853d',
    elements: n,
    least: 4 * n,
    ourLeast: 4 * n,
    sectors: 33200,
    idealSectors: 33200,
    requests: 8624,
    warpInstructions: 681152,
  },
  {
    ops: ['layerNorm bf16'],
    what: 'LayerNorm (theirs f32, ours bf16)',
    kernel: 'layernorm_forward_kernel5',
    file: 'dev/cuda/layernorm_forward.cu',
    commit: '023b2d3',
    elements: 32 * 4096,
    least: 8 * 32 * 4096,
    ourLeast: 4 * 32 * 4096,
    sectors: 81984,
    idealSectors: 81984,
    requests: 20544,
    warpInstructions: 189632,
  },
  {
    ops: ['crossEntropy bf16', 'crossEntropy bf16, backward'],
    what: 'cross-entropy bf16 and its gradient (theirs one kernel)',
    kernel: 'fused_classifier_kernel5',
    file: 'llmc/fused_classifier.cuh',
    commit: '0c4b1e1',
    elements: n,
    least: 4 * n,
    ourLeast: 4 * n,
    sectors: 51392,
    idealSectors: 51392,
    requests: 5312,
    warpInstructions: 587008,
  },
]
