// What is judged on the simulator and timed on a GPU: each family of kernels by the ops that a model spends its time in. `bytes` is the
// least that an op can move, every operand and result once; `flops` are those of its products.
import { ones, randint, randn, uniform, zeros, type DType, type Tensor } from '@shakti/tensor'
import {
  adamw_,
  conv2d,
  crossEntropy,
  dropout,
  embedding,
  globalNorm,
  interpolate,
  layerNorm,
  multinomial,
  normRope,
  quantizedLinear,
  quantizeWeight,
  rmsNorm,
  rope,
  scaledDotProductAttention,
  swiglu,
  where,
} from '@shakti/tensor'
import { RotaryEmbedding } from '@shakti/nn'

export type Unit = 'f32' | 'bf16' | 'int8'

export interface Work {
  readonly shape: string
  readonly bytes: number
  readonly flops?: number
  /** Makes the operands; what it returns is counted or timed. */
  readonly setup: () => () => unknown
}

export interface Case {
  readonly family: string
  readonly name: string
  /** Which of a chip's peaks bounds its products. */
  readonly unit: Unit
  /** At a size for the simulator, and at one that fills a GPU and no cache. */
  readonly judged: Work
  readonly timed: Work
}

type Size = readonly number[]

function one<S extends Size | []>(
  family: string,
  name: string,
  sizes: readonly [judged: S, timed: S],
  work: (size: S) => Omit<Work, 'shape'>,
  unit: Unit = 'f32',
): Case {
  const [judged, timed] = sizes.map((size) => ({ shape: size.join(' x '), ...work(size) }))
  return { family, name, unit, judged: judged!, timed: timed! }
}

const half = (shape: Size, requiresGrad = false): Tensor =>
  randn(shape, { dtype: 'bf16', requiresGrad })

/** Only the backward pass: the forward one is done in `setup`. */
function gradients(y: Tensor, g: Tensor, leaves: readonly Tensor[]): () => void {
  return () => {
    y.backward(g, { retainGraph: true })
    for (const leaf of leaves) leaf.grad = undefined
  }
}

const product = (m: number, k: number, n: number, bytes: 2 | 4, batch = 1) => ({
  bytes: bytes * batch * (m * k + k * n + m * n),
  flops: 2 * batch * m * k * n,
})

const angles = (length: number, d: number): [Tensor, Tensor] => {
  const { cos, sin } = new RotaryEmbedding(d, 10_000).range(0, length)
  return [cos, sin]
}

type Attention = readonly [b: number, heads: number, kv: number, length: number, d: number]
const attentionBytes = ([b, h, kv, l, d]: Attention, size: number): number =>
  size * b * l * d * (2 * h + 2 * kv)
const causalFlops = ([b, h, , l, d]: Attention): number => 2 * b * h * l * l * d

function attention(sizes: readonly [Attention, Attention], dtype: DType, unit: Unit): Case[] {
  const operands = (
    [b, h, kv, l, d]: Attention,
    requiresGrad: boolean,
  ): [Tensor, Tensor, Tensor] => [
    randn([b, h, l, d], { dtype, requiresGrad }),
    randn([b, kv, l, d], { dtype, requiresGrad }),
    randn([b, kv, l, d], { dtype, requiresGrad }),
  ]
  const bytes = dtype === 'bf16' ? 2 : 4
  const name = `attention ${dtype}, causal, head dim ${sizes[0][4]}`
  return [
    one(
      'attention',
      name,
      sizes,
      (size) => ({
        bytes: attentionBytes(size, bytes),
        flops: causalFlops(size),
        setup: () => {
          const given = operands(size, false)
          return () => scaledDotProductAttention(...given, { isCausal: true })
        },
      }),
      unit,
    ),
    one(
      'attention',
      `${name}, backward`,
      sizes,
      (size) => ({
        bytes: 2 * attentionBytes(size, bytes),
        flops: 2.5 * causalFlops(size),
        setup: () => {
          const given = operands(size, true)
          const y = scaledDotProductAttention(...given, { isCausal: true })
          return gradients(y, randn(y.shape, { dtype }), given)
        },
      }),
      unit,
    ),
  ]
}

type Rows = readonly [rows: number, width: number]
const rows: readonly [Rows, Rows] = [
  [32, 4096],
  [16384, 4096],
]

/** An op over rows of bf16 that reads and writes each element `passes` times. */
const byRows = (
  family: string,
  name: string,
  passes: number,
  setup: (size: Rows) => () => unknown,
): Case =>
  one(family, name, rows, (size) => ({
    bytes: passes * 2 * size[0] * size[1],
    setup: () => setup(size),
  }))

type Flat = readonly [n: number]
const flat: readonly [Flat, Flat] = [[1 << 18], [1 << 27]]
const elements = (
  family: string,
  name: string,
  bytes: number,
  setup: (n: number) => () => unknown,
): Case => one(family, name, flat, ([n]) => ({ bytes: bytes * n, setup: () => setup(n) }))

type Product = readonly [m: number, k: number, n: number]
function linear(name: string, sizes: readonly [Product, Product], dtype: 'bf16' | 'f32'): Case {
  return one(
    'matmul',
    `linear ${dtype}, ${name}`,
    sizes,
    ([m, k, n]) => ({
      ...product(m, k, n, dtype === 'bf16' ? 2 : 4),
      setup: () => {
        const [x, w] = [randn([m, k], { dtype }), randn([n, k], { dtype })]
        return () => x.linear(w)
      },
    }),
    dtype,
  )
}

function quantised(bits: 8 | 4, sizes: readonly [Product, Product], name: string): Case {
  return one(
    'quant',
    `linear int${bits}, ${name}`,
    sizes,
    ([m, k, n]) => ({
      // Weights with a bf16 scale for 64 of 8 bits, for 32 of 4.
      bytes: k * n * (bits === 8 ? 1 + 2 / 64 : 0.5 + 2 / 32) + 4 * m * (k + n),
      flops: 2 * m * k * n,
      setup: () => {
        const [x, w] = [randn([m, k]), quantizeWeight(randn([n, k]), { bits })]
        return () => quantizedLinear(x, w)
      },
    }),
    'int8',
  )
}

type Heads = readonly [b: number, l: number, h: number, d: number]
const heads: readonly [Heads, Heads] = [
  [2, 64, 8, 64],
  [8, 4096, 32, 128],
]
const count = (size: Size): number => size.reduce((a, b) => a * b, 1)

export const cases: readonly Case[] = [
  ...attention(
    [
      [1, 4, 2, 256, 64],
      [4, 32, 8, 4096, 64],
    ],
    'bf16',
    'bf16',
  ),
  ...attention(
    [
      [1, 2, 1, 256, 128],
      [4, 32, 8, 4096, 128],
    ],
    'bf16',
    'bf16',
  ),
  ...attention(
    [
      [1, 2, 2, 128, 64],
      [2, 16, 16, 2048, 64],
    ],
    'f32',
    'f32',
  ),
  one(
    'attention',
    'attention bf16, one query over a cache',
    [
      [2, 8, 2, 256, 64],
      [32, 32, 8, 4096, 128],
    ],
    ([b, h, kv, l, d]) => ({
      bytes: 2 * (2 * b * h * d + 2 * b * kv * l * d),
      flops: 4 * b * h * l * d,
      setup: () => {
        const [q, k, v] = [half([b, h, 1, d]), half([b, kv, l, d]), half([b, kv, l, d])]
        return () => scaledDotProductAttention(q, k, v)
      },
    }),
    'bf16',
  ),

  one(
    'conv',
    'conv2d f32, 3 x 3',
    [
      [1, 16, 32, 32, 16],
      [32, 64, 128, 128, 64],
    ],
    ([n, c, h, w, o]) => ({
      bytes: 4 * (n * (c + o) * h * w + 9 * o * c),
      flops: 2 * 9 * n * c * h * w * o,
      setup: () => {
        const [x, weight] = [randn([n, c, h, w]), randn([o, c, 3, 3])]
        return () => conv2d(x, weight, undefined, { padding: 1 })
      },
    }),
  ),

  elements('copy', 'f32 to bf16', 6, (n) => {
    const x = randn([n])
    return () => x.to('bf16')
  }),
  elements('copy', 'zeros f32', 4, (n) => () => zeros([n])),
  one('copy', 'transpose bf16', rows, (size) => ({
    bytes: 4 * count(size),
    setup: () => {
      const x = half(size)
      return () => x.mT().contiguous()
    },
  })),
  one(
    'copy',
    'tril f32',
    [
      [256, 256],
      [8192, 8192],
    ],
    (size) => ({
      // Half of it is read.
      bytes: 6 * count(size),
      setup: () => {
        const x = randn(size)
        return () => x.tril()
      },
    }),
  ),

  elements('elementwise', 'add bf16', 6, (n) => {
    const [a, b] = [half([n]), half([n])]
    return () => a.add(b)
  }),
  elements('elementwise', 'gelu bf16', 4, (n) => {
    const x = half([n])
    return () => x.gelu()
  }),
  one('elementwise', 'add f32 to each row', rows, ([m, n]) => ({
    bytes: 8 * m * n + 4 * n,
    setup: () => {
      const [x, b] = [randn([m, n]), randn([n])]
      return () => x.add(b)
    },
  })),
  elements('elementwise', 'where f32', 13, (n) => {
    const [c, a, b] = [randn([n]).gt(0), randn([n]), randn([n])]
    return () => where(c, a, b)
  }),

  one(
    'index',
    'embedding bf16',
    [
      [256, 1000, 512],
      [32768, 128256, 4096],
    ],
    ([n, classes, d]) => ({
      bytes: 4 * n * d + 4 * n,
      setup: () => {
        const [ids, w] = [randint(0, classes, [n]), half([classes, d])]
        return () => embedding(ids, w)
      },
    }),
  ),
  one(
    'index',
    'embedding f32, backward',
    [
      [256, 1000, 256],
      [32768, 32000, 1024],
    ],
    ([n, classes, d]) => ({
      bytes: 4 * n * d + 4 * classes * d + 4 * n,
      setup: () => {
        const [ids, w] = [randint(0, classes, [n]), randn([classes, d], { requiresGrad: true })]
        const y = embedding(ids, w)
        return gradients(y, randn(y.shape), [w])
      },
    }),
  ),
  one('index', 'gather f32 along the last dimension', rows, ([m, n]) => ({
    bytes: 12 * m * n,
    setup: () => {
      const [x, index] = [randn([m, n]), randint(0, n, [m, n])]
      return () => x.gather(-1, index)
    },
  })),
  one(
    'index',
    'scatterAdd f32 along the last dimension',
    [
      [128, 256],
      [16384, 1024],
    ],
    ([m, n]) => ({
      bytes: 16 * m * n,
      setup: () => {
        const [x, index, source] = [zeros([m, n]), randint(0, n, [m, n]), randn([m, n])]
        return () => x.scatterAdd(-1, index, source)
      },
    }),
  ),
  one('index', 'indexSelect f32 of rows', rows, ([m, n]) => ({
    bytes: 8 * m * n + 4 * m,
    setup: () => {
      const [x, index] = [randn([m, n]), randint(0, m, [m])]
      return () => x.indexSelect(0, index)
    },
  })),

  one(
    'interpolate',
    'bilinear f32, twice as large',
    [
      [1, 8, 64, 64],
      [16, 64, 256, 256],
    ],
    (size) => ({
      bytes: 20 * count(size),
      setup: () => {
        const x = randn(size)
        return () => interpolate(x, { size: [2 * size[2], 2 * size[3]], mode: 'bilinear' })
      },
    }),
  ),

  one(
    'loss',
    'crossEntropy bf16',
    [
      [64, 4096],
      [8192, 128256],
    ],
    (size) => ({
      bytes: 2 * count(size),
      setup: () => {
        const [x, target] = [half(size), randint(0, size[1], [size[0]])]
        return () => crossEntropy(x, target)
      },
    }),
  ),
  one(
    'loss',
    'crossEntropy bf16, backward',
    [
      [64, 4096],
      [8192, 128256],
    ],
    (size) => ({
      bytes: 4 * count(size),
      setup: () => {
        const [x, target] = [half(size, true), randint(0, size[1], [size[0]])]
        const y = crossEntropy(x, target)
        return gradients(y, ones([], { dtype: y.dtype }), [x])
      },
    }),
  ),

  linear(
    'square',
    [
      [256, 512, 256],
      [8192, 8192, 8192],
    ],
    'bf16',
  ),
  linear(
    'square',
    [
      [128, 256, 128],
      [4096, 4096, 4096],
    ],
    'f32',
  ),
  linear(
    'one row',
    [
      [1, 1024, 1024],
      [1, 8192, 8192],
    ],
    'bf16',
  ),
  linear(
    'sixteen rows',
    [
      [16, 1024, 512],
      [16, 8192, 8192],
    ],
    'bf16',
  ),
  one(
    'matmul',
    'gradient of a weight bf16',
    [
      [512, 256, 256],
      [8192, 4096, 4096],
    ],
    ([m, k, n]) => ({
      ...product(k, m, n, 2),
      setup: () => {
        const [x, g] = [half([m, k]), half([m, n])]
        return () => g.mT().matmul(x)
      },
    }),
    'bf16',
  ),

  byRows('mlp', 'swiglu bf16', 3, (size) => {
    const [gate, up] = [half(size), half(size)]
    return () => swiglu(gate, up)
  }),
  byRows('mlp', 'swiglu bf16, backward', 5, (size) => {
    const [gate, up] = [half(size, true), half(size, true)]
    return gradients(swiglu(gate, up), half(size), [gate, up])
  }),

  byRows('norm', 'rmsNorm bf16', 2, (size) => {
    const [x, w] = [half(size), ones([size[1]], { dtype: 'bf16' })]
    return () => rmsNorm(x, w)
  }),
  byRows('norm', 'layerNorm bf16', 2, (size) => {
    const [w, b] = [ones([size[1]], { dtype: 'bf16' }), zeros([size[1]], { dtype: 'bf16' })]
    const x = half(size)
    return () => layerNorm(x, w, b)
  }),
  byRows('norm', 'rmsNorm bf16, backward', 3, (size) => {
    const [x, w] = [half(size, true), ones([size[1]], { dtype: 'bf16', requiresGrad: true })]
    return gradients(rmsNorm(x, w), half(size), [x, w])
  }),

  one('norm_rope', 'normRope bf16', heads, (size) => ({
    bytes: 4 * count(size) + 4 * size[1] * size[3],
    setup: () => {
      const [x, w] = [half(size), ones([size[3]], { dtype: 'bf16' })]
      const turns = angles(size[1], size[3])
      return () => normRope(x, w, ...turns)
    },
  })),
  one('norm_rope', 'normRope bf16, backward', heads, (size) => ({
    bytes: 6 * count(size) + 4 * size[1] * size[3],
    setup: () => {
      const [x, w] = [half(size, true), ones([size[3]], { dtype: 'bf16', requiresGrad: true })]
      return gradients(normRope(x, w, ...angles(size[1], size[3])), half(size), [x, w])
    },
  })),
  one('rope', 'rope bf16', heads, (size) => ({
    bytes: 4 * count(size) + 4 * size[1] * size[3],
    setup: () => {
      const x = half(size)
      const turns = angles(size[1], size[3])
      return () => rope(x, ...turns)
    },
  })),

  elements('optim', 'AdamW, gradients in f32', 28, (n) => {
    const [p, g, m, v] = [randn([n]), randn([n]), zeros([n]), zeros([n])]
    return () => adamw_([p], [g], [m], [v], { lr: 1e-3, step: 1 })
  }),
  elements('optim', 'globalNorm f32', 4, (n) => {
    const g = randn([n])
    return () => globalNorm([g])
  }),

  quantised(
    8,
    [
      [1, 1024, 1024],
      [1, 8192, 8192],
    ],
    'one row',
  ),
  quantised(
    4,
    [
      [1, 1024, 1024],
      [1, 8192, 8192],
    ],
    'one row',
  ),
  quantised(
    8,
    [
      [64, 512, 256],
      [512, 8192, 8192],
    ],
    'many rows',
  ),
  one(
    'quant',
    'quantizeWeight f32 to int8',
    [
      [256, 512],
      [8192, 8192],
    ],
    (size) => ({
      bytes: (4 + 1 + 2 / 64) * count(size),
      setup: () => {
        const w = randn(size)
        return () => {
          quantizeWeight(w, { bits: 8 }).dispose()
        }
      },
    }),
  ),

  elements('random', 'uniform f32', 4, (n) => () => uniform([n], 0, 1)),
  one('random', 'normal f32', [[1 << 16], [1 << 26]], ([n]) => ({
    bytes: 4 * n,
    setup: () => () => randn([n]),
  })),
  elements('random', 'dropout f32', 8, (n) => {
    const x = randn([n])
    return () => dropout(x, 0.1)
  }),
  one(
    'random',
    'multinomial f32, one of a row',
    [
      [8, 2048],
      [256, 128256],
    ],
    ([m, n]) => ({
      bytes: 4 * m * n,
      setup: () => {
        const p = uniform([m, n], 0, 1)
        return () => multinomial(p, 1)
      },
    }),
  ),

  byRows('reduce', 'sum bf16 of rows', 1, (size) => {
    const x = half(size)
    return () => x.sum(-1)
  }),
  byRows('reduce', 'sum bf16 of columns', 1, (size) => {
    const x = half(size)
    return () => x.sum(0)
  }),
  byRows('reduce', 'argmax bf16 of rows', 1, (size) => {
    const x = half(size)
    return () => x.argmax(-1)
  }),
  byRows('reduce', 'cumsum bf16 of rows', 2, (size) => {
    const x = half(size)
    return () => x.cumsum(-1)
  }),

  byRows('softmax', 'softmax bf16', 2, (size) => {
    const x = half(size)
    return () => x.softmax(-1)
  }),
  byRows('softmax', 'softmax bf16, backward', 3, (size) => {
    const x = half(size, true)
    return gradients(x.softmax(-1), half(size), [x])
  }),

  one(
    'sort',
    'sort f32 of rows',
    [
      [8, 1024],
      [1024, 16384],
    ],
    ([m, n]) => ({
      bytes: 12 * m * n,
      setup: () => {
        const x = randn([m, n])
        return () => x.sort(-1)
      },
    }),
  ),
  one(
    'sort',
    'topk f32, 50 of a row',
    [
      [8, 1024],
      [256, 128256],
    ],
    ([m, n]) => ({
      bytes: 4 * m * n,
      setup: () => {
        const x = randn([m, n])
        return () => x.topk(50)
      },
    }),
  ),
]
