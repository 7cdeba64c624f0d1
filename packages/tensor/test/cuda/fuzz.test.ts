// test-timeout: 300
// Ops on random shapes, strides and dtypes against the CPU. The seed is fixed: SHAKTI_CUDA_SEED sets another, SHAKTI_CUDA_FUZZ how many.
import {
  cat,
  conv2d,
  crossEntropy,
  embedding,
  interpolate,
  isCudaAvailable,
  layerNorm,
  manualSeed,
  noGrad,
  randint,
  randn,
  rmsNorm,
  rope,
  scaledDotProductAttention,
  setDefaultDevice,
  swiglu,
  tidy,
  where,
  type DeviceName,
  type DType,
  type Tensor,
} from '@shakti/tensor'
import { assert, test } from '../assert.js'
import { difference, numbersOf, type Numbers } from './compare.js'

// The simulator gives each tensor memory of its own, to the byte: a step outside is seen.
process.env.SHAKTI_CUDA_EXACT = '1'
process.env.SHAKTI_SIM_MEMORY ??= '16G'

const seed = Number(process.env.SHAKTI_CUDA_SEED ?? 1)
const count = Number(process.env.SHAKTI_CUDA_FUZZ ?? 400)

/** Numbers of one seed, the same on every device. */
class Chance {
  #state: number
  constructor(n: number) {
    this.#state = (n * 2654435761) >>> 0
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  below(n: number): number {
    return Math.floor(this.next() * n)
  }
  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }
  /** Mostly small, now and then around a warp, a tile or a block. */
  size(): number {
    return this.of([1, 2, 3, 5, 7, 8, 16, 31, 32, 33, 40, 63, 64, 65, 1 + this.below(140)])
  }
  shape(ndim = 1 + this.below(4)): number[] {
    const shape = Array.from({ length: ndim }, () => this.size())
    while (shape.reduce((a, b) => a * b, 1) > 40_000) shape[this.below(ndim)] = 1 + this.below(6)
    return shape
  }
}

class Fuzz extends Chance {
  constructor(
    n: number,
    readonly device: DeviceName,
  ) {
    super(n)
    manualSeed(n)
  }
  dtype(): DType {
    return this.of(['f32', 'f32', 'bf16', 'f16', 'f64'] as const)
  }
  /** A tensor of that shape, which may lie in any order, with gaps, or be spread from fewer elements. */
  tensor(shape: readonly number[], dtype: DType): Tensor {
    const drawn = (s: readonly number[]): Tensor =>
      noGrad(() => randn(s, { device: 'cpu' }).to(dtype).to(this.device))
    const n = shape.length
    switch (n === 0 ? 0 : this.below(5)) {
      case 1: {
        const d = this.below(n)
        const [before, behind] = [this.below(4), this.below(4)]
        return drawn(shape.map((s, i) => (i === d ? s + before + behind : s))).narrow(
          d,
          before,
          shape[d]!,
        )
      }
      case 2: {
        const order = shape.map((_, i) => i)
        for (let i = n - 1; i > 0; i--) {
          const j = this.below(i + 1)
          ;[order[i], order[j]] = [order[j]!, order[i]!]
        }
        const back = order.map((_, i) => order.indexOf(i))
        return drawn(order.map((d) => shape[d]!)).permute(back)
      }
      case 3: {
        const d = this.below(n)
        return drawn(shape.map((s, i) => (i === d ? 1 : s))).expand([...shape])
      }
      case 4:
        return drawn([...shape, 2]).select(n, this.below(2))
      default:
        return drawn(shape)
    }
  }
  indices(below: number, shape: readonly number[]): Tensor {
    return randint(0, below, shape, { device: 'cpu' })
      .to(this.of(['i32', 'i64'] as const))
      .to(this.device)
  }
  /** The result, and gradients of what may have one. */
  both(inputs: readonly Tensor[], fn: (...inputs: Tensor[]) => Tensor): Tensor[] {
    const leaves = inputs.map((t) => t.detach().requiresGrad_())
    const y = fn(...leaves)
    y.backward(this.tensor(y.shape, y.dtype))
    return [y.detach(), ...leaves.map((t) => t.grad!)]
  }
}

type Op = (f: Fuzz) => Tensor[]
const unary = [
  'exp',
  'tanh',
  'sigmoid',
  'gelu',
  'silu',
  'square',
  'abs',
  'neg',
  'relu',
  'erf',
] as const
const binary = ['add', 'sub', 'mul', 'maximum', 'minimum'] as const

const ops: Readonly<Record<string, readonly [slack: number, run: Op, terms?: number]>> = {
  unary: [4, (f) => f.both([f.tensor(f.shape(), f.dtype())], (x) => x![f.of(unary)]())],
  binary: [
    4,
    (f) => {
      const [shape, t] = [f.shape(), f.dtype()]
      const other = shape.map((s) => (f.below(4) === 0 ? 1 : s)).slice(f.below(shape.length))
      return f.both([f.tensor(shape, t), f.tensor(other, t)], (a, b) => a![f.of(binary)](b!))
    },
  ],
  compare: [
    0,
    (f) => {
      const [shape, t] = [f.shape(), f.dtype()]
      const [a, b] = [f.tensor(shape, t), f.tensor(shape, t)]
      return [a.gt(b), a.le(0.25), where(a.lt(b), a, b), where(b.ge(0), b, -1)]
    },
  ],
  move: [
    0,
    (f) => {
      const x = f.tensor(f.shape(), f.dtype())
      const d = f.below(x.ndim)
      return [
        x.contiguous(),
        x.to(f.of(['f32', 'bf16', 'f16', 'f64', 'i32', 'u8', 'bool'] as const)),
        cat([x, x.narrow(d, 0, 1)], d),
        x.pad([[f.below(3), f.below(3)]]),
        x.flip([d]),
      ]
    },
  ],
  fold: [
    64,
    (f) => {
      const x = f.tensor(f.shape(), f.dtype())
      const dims = x.shape.map((_, i) => i).filter(() => f.below(2) === 0)
      return dims.length === 0 ? [x.sum(), x.amax()] : [x.sum(dims), x.amin(dims)]
    },
  ],
  search: [
    0,
    (f) => {
      const x = f.tensor(f.shape(), f.dtype())
      const d = f.below(x.ndim)
      return [
        ...Object.values(x.sort(d, { descending: f.below(2) === 0 })),
        ...Object.values(x.max(d)),
        x.argmin(d),
      ] as Tensor[]
    },
  ],
  cumsum: [1, (f) => [f.tensor(f.shape(), f.dtype())].map((x) => x.cumsum(f.below(x.ndim)))],
  softmax: [
    16,
    (f) =>
      f.both([f.tensor(f.shape(), f.dtype())], (x) =>
        f.below(2) === 0 ? x!.softmax(f.below(x!.ndim)) : x!.logSoftmax(f.below(x!.ndim)),
      ),
  ],
  norm: [
    64,
    (f) => {
      const [shape, t] = [f.shape(), f.dtype()]
      // Rows of one element are all 0 before the weight: 1 / sqrt(eps) makes noise of rounding.
      if (shape.at(-1)! < 3) shape[shape.length - 1] = 24
      const x = f.tensor(shape, t)
      const w = f.tensor([shape.at(-1)!], t)
      return f.below(2) === 0
        ? f.both([x, w], (a, b) => rmsNorm(a!, b))
        : f.both([x, w, f.tensor([shape.at(-1)!], t)], (a, b, c) => layerNorm(a!, b, c))
    },
  ],
  matmul: [
    16,
    (f) => {
      const [m, n, k, t] = [f.size(), f.size(), f.size(), f.dtype()]
      const batch = f.below(3) === 0 ? [1 + f.below(3)] : []
      return f.both([f.tensor([...batch, m, k], t), f.tensor([...batch, k, n], t)], (a, b) =>
        a!.matmul(b!),
      )
    },
  ],
  linear: [
    16,
    (f) => {
      const [m, n, k, t] = [f.size(), f.size(), f.size(), f.dtype()]
      const activation = f.of([undefined, 'gelu', 'silu'] as const)
      const more = activation ? { activation } : {}
      return f.both(
        [f.tensor([m, k], t), f.tensor([n, k], t), f.tensor([n], t), f.tensor([m, n], t)],
        (x, w, b, residual) => x!.linear(w!, b, { residual: residual!, ...more }),
      )
    },
  ],
  attention: [
    4,
    (f) => {
      const t = f.of(['f32', 'bf16', 'f16'] as const)
      const [d, hk, l, b] = [8 * (1 + f.below(17)), 1 + f.below(2), f.size(), 1 + f.below(2)]
      const [h, lk] = [hk * (1 + f.below(3)), l + f.of([0, 0, 1, 30])]
      const isCausal = f.below(2) === 0
      const window = isCausal && f.below(2) === 0 ? { window: 1 + f.below(20) } : {}
      return f.both(
        [f.tensor([b, h, l, d], t), f.tensor([b, hk, lk, d], t), f.tensor([b, hk, lk, d], t)],
        (q, k, v) => scaledDotProductAttention(q!, k!, v!, { isCausal, ...window }),
      )
    },
    1,
  ],
  rope: [
    4,
    (f) => {
      const [b, l, h, d, t] = [1 + f.below(3), f.size(), 1 + f.below(4), 2 * f.size(), f.dtype()]
      const [cos, sin] = [f.tensor([1, l, d / 2], 'f32'), f.tensor([1, l, d / 2], 'f32')]
      return f.both([f.tensor([b, l, h, d], t)], (x) => rope(x!, cos, sin))
    },
  ],
  swiglu: [
    4,
    (f) => {
      const [shape, t] = [f.shape(), f.dtype()]
      return f.both([f.tensor(shape, t), f.tensor(shape, t)], (a, b) => swiglu(a!, b!))
    },
  ],
  indexed: [
    2,
    (f) => {
      const [rows, width, t] = [f.size(), f.size(), f.dtype()]
      const ids = f.indices(rows, f.shape(1 + f.below(2)))
      const x = f.tensor([rows, width], t)
      return [
        ...f.both([x], (w) => embedding(ids, w!)),
        ...f.both([x], (w) => w!.indexSelect(0, ids.reshape([-1]))),
        ...f.both([x], (w) => w!.gather(0, f.indices(rows, [f.size(), width]))),
      ]
    },
  ],
  loss: [
    8,
    (f) => {
      const [n, classes, t] = [f.size(), f.size(), f.dtype()]
      const target = f.indices(classes, [n])
      const labelSmoothing = f.of([0, 0.1])
      return f.both([f.tensor([n, classes], t)], (x) =>
        crossEntropy(x!, target, { labelSmoothing }),
      )
    },
  ],
  pictures: [
    8,
    (f) => {
      const t = f.of(['f32', 'bf16'] as const)
      const [groups, side] = [1 + f.below(2), 5 + f.below(9)]
      const x = f.tensor([1 + f.below(2), 2 * groups, side, side + f.below(4)], t)
      const w = f.tensor([3 * groups, 2, 1 + f.below(3), 1 + f.below(3)], t)
      const options = {
        stride: 1 + f.below(2),
        padding: f.below(2),
        dilation: 1 + f.below(2),
        groups,
      }
      const mode = f.of(['nearest', 'bilinear', 'bicubic'] as const)
      return [
        ...f.both([x, w], (a, b) => conv2d(a!, b!, undefined, options)),
        ...f.both([x], (a) => interpolate(a!, { size: [1 + f.below(20), 1 + f.below(20)], mode })),
      ]
    },
  ],
}

if (!isCudaAvailable()) {
  test.skip('no GPU: SHAKTI_LIBCUDA names none, and this machine has none', () => undefined)
} else {
  const results = (run: Op, n: number, device: DeviceName): Numbers[] => {
    setDefaultDevice(device)
    return tidy(() => run(new Fuzz(n, device)).map(numbersOf))
  }
  const kinds = Object.entries(ops)
  for (const [i, [name, [slack, run, terms]]] of kinds.entries()) {
    test(`${name}: random shapes, strides and dtypes give what the CPU gives`, () => {
      for (let n = seed * 100_003 + i; n < seed * 100_003 + count; n += kinds.length) {
        const wrong = difference(results(run, n, 'cuda'), results(run, n, 'cpu'), slack, terms)
        if (wrong) assert.unreachable(`case ${n}: ${wrong}`)
      }
    })
  }
}

test.run()
