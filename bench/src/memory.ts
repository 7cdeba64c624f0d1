// npm run bench:memory -- [words...]: ops that only pass over memory, each in turn with a copy that moves as many bytes, so
// that what the neighbours of a shared machine do to memory meets both. A share is the copy's median time over the op's.
import { parseArgs } from 'node:util'
import {
  adamw_,
  crossEntropy,
  deviceInfo,
  embedding,
  globalNorm,
  layerNorm,
  manualSeed,
  ones,
  randint,
  randn,
  rmsNorm,
  rope,
  setNumThreads,
  swiglu,
  synchronize,
  tidy,
  tidyAsync,
  where,
  zeros,
  zerosLike,
  type DType,
  type Tensor,
} from '@shakti/tensor'

interface Pass {
  readonly name: string
  /** Read and written by one run. */
  readonly bytes: number
  readonly setup: () => () => unknown
}

/** The backward of an op alone: its forward ran before, and its graph is kept. */
function backward(inputs: readonly Tensor[], out: Tensor): () => void {
  const g = randn(out.shape).to(out.dtype)
  return () => {
    out.backward(g, { retainGraph: true })
    for (const t of inputs) t.grad = undefined
  }
}

function rowPasses(rows: number, width: number, dtype: DType): Pass[] {
  const once = rows * width * (dtype === 'f32' ? 4 : 2)
  const x = (grad = false): Tensor => randn([rows, width]).to(dtype).requiresGrad_(grad)
  const at = `${dtype} ${rows}x${width}`
  const pass = (name: string, passes: number, setup: () => () => unknown): Pass => ({
    name: `${name} ${at}`,
    bytes: passes * once,
    setup,
  })
  const forward = (name: string, f: (a: Tensor) => Tensor): Pass =>
    pass(name, 2, () => {
      const a = x()
      return () => f(a)
    })
  // Gradient and input read (the result, for softmax), the input's gradient written.
  const gradient = (name: string, f: (a: Tensor) => Tensor): Pass =>
    pass(`${name} backward`, 3, () => {
      const a = x(true)
      return backward([a], f(a))
    })
  const [w, b] = [ones([width]).to(dtype), zeros([width]).to(dtype)]
  const norms: Record<string, (a: Tensor) => Tensor> = {
    'layer norm': (a) => layerNorm(a, w, b),
    'RMS norm': (a) => rmsNorm(a, w),
    softmax: (a) => a.softmax(-1),
    'log-softmax': (a) => a.logSoftmax(-1),
    GELU: (a) => a.gelu(),
  }
  const target = randint(0, width, [rows])
  return [
    ...Object.entries(norms).flatMap(([name, f]) => [forward(name, f), gradient(name, f)]),
    pass('cross-entropy', 1, () => {
      const a = x()
      return () => crossEntropy(a, target, { reduction: 'none' })
    }),
    pass('cross-entropy backward', 2, () => {
      const a = x(true)
      return backward([a], crossEntropy(a, target, { reduction: 'none' }))
    }),
    pass('SwiGLU', 3, () => {
      const [gate, up] = [x(), x()]
      return () => swiglu(gate, up)
    }),
    pass('SwiGLU backward', 5, () => {
      const [gate, up] = [x(true), x(true)]
      return backward([gate, up], swiglu(gate, up))
    }),
    pass('sum over rows', 1, () => {
      const a = x()
      return () => a.sum(-1)
    }),
    pass('sum over columns', 1, () => {
      const a = x()
      return () => a.sum(0)
    }),
    pass('argmax', 1, () => {
      const a = x()
      return () => a.argmax(-1)
    }),
    pass('add of a row', 2, () => {
      const [a, row] = [x(), randn([width]).to(dtype)]
      return () => a.add(row)
    }),
    pass('transposed', 2, () => {
      const a = x().mT()
      return () => a.contiguous()
    }),
  ]
}

function flatPasses(dtype: DType): Pass[] {
  const size = dtype === 'f32' ? 4 : 2
  const n = (64 << 20) / size
  const x = (): Tensor => randn([n]).to(dtype)
  const pass = (name: string, bytes: number, setup: () => () => unknown): Pass => ({
    name: `${name} ${dtype} 64 MiB`,
    bytes: bytes * n,
    setup,
  })
  const unary = (name: string, f: (a: Tensor) => Tensor): Pass =>
    pass(name, 2 * size, () => {
      const a = x()
      return () => f(a)
    })
  return [
    unary('exp', (a) => a.exp()),
    unary('tanh', (a) => a.tanh()),
    unary('erf', (a) => a.erf()),
    unary('sigmoid', (a) => a.sigmoid()),
    unary('multiply by a number', (a) => a.mul(2)),
    pass('add', 3 * size, () => {
      const [a, b] = [x(), x()]
      return () => a.add(b)
    }),
    pass(dtype === 'f32' ? 'to bf16' : 'to f32', 6, () => {
      const a = x()
      return () => a.to(dtype === 'f32' ? 'bf16' : 'f32')
    }),
    pass('where', 3 * size + 1, () => {
      const [a, b] = [x(), x()]
      const mask = a.gt(b)
      return () => where(mask, a, b)
    }),
    pass('gt', 2 * size + 1, () => {
      const [a, b] = [x(), x()]
      return () => a.gt(b)
    }),
    pass('global norm', size, () => {
      const a = x()
      return () => globalNorm([a])
    }),
    pass('rotary', 2 * size, () => {
      const [length, heads, d] = [1024, 16, 64]
      const a = x().reshape([-1, length, heads, d])
      const angles = randn([1, length, d / 2])
      const [cos, sin] = [angles.cos(), angles.sin()]
      return () => rope(a, cos, sin)
    }),
    pass('embedding', 2 * size, () => {
      const [table, ids] = [randn([32_768, 512]).to(dtype), randint(0, 32_768, [n / 512])]
      return () => embedding(ids, table)
    }),
    {
      name: `embedding backward ${dtype} 64 MiB`,
      bytes: size * (n + 32_768 * 512),
      setup: () => {
        const table = randn([32_768, 512]).to(dtype).requiresGrad_()
        return backward([table], embedding(randint(0, 32_768, [n / 512]), table))
      },
    },
  ]
}

const many = 32 << 20
const adamw = (copies: boolean): Pass => ({
  name: `AdamW of 32 Mi f32${copies ? ', bf16 gradients and copies' : ''}`,
  // Weight, gradient and two moments read, all but the gradient written.
  bytes: 28 * many,
  setup: () => {
    const p = randn([many])
    const g = copies ? randn([many]).to('bf16') : randn([many])
    const [m, v] = [zerosLike(p), zerosLike(p)]
    const options = copies ? { copies: [p.to('bf16')] } : {}
    let step = 0
    return () => adamw_([p], [g], [m], [v], { lr: 1e-4, step: ++step, ...options })
  },
})

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '9' } },
})
const rounds = Number(values.rounds)
if (!Number.isInteger(rounds) || rounds < 1)
  throw new Error(`--rounds is a number from 1, got '${values.rounds}'`)

const median = (list: readonly number[]): number =>
  list.toSorted((a, b) => a - b)[list.length >> 1]!

async function milliseconds(run: () => unknown, times: number): Promise<number> {
  await synchronize()
  const start = performance.now()
  for (let i = 0; i < times; i++) tidy(() => void run())
  await synchronize()
  return (performance.now() - start) / times
}

setNumThreads(2)
manualSeed(0)
const passes: Pass[] = [
  ...(['f32', 'bf16'] as const).flatMap((dtype) => [
    ...rowPasses(4096, 1024, dtype),
    ...rowPasses(2048, 32_768, dtype),
    ...flatPasses(dtype),
  ]),
  adamw(false),
  adamw(true),
]
console.log('| pass | ms | GB/s | share of a copy |\n|---|---|---|---|')
for (const { name, bytes, setup } of passes) {
  if (positionals.length > 0 && !positionals.some((word) => name.includes(word))) continue
  await tidyAsync(() => measure(name, bytes, setup))
  ;(globalThis as { gc?: () => void }).gc?.()
}
const { cpu, isa } = deviceInfo()
console.log(`\n${cpu}, ${isa}, 2 threads, median of ${rounds} rounds`)

async function measure(name: string, bytes: number, setup: () => () => unknown): Promise<void> {
  const run = setup()
  const source = randn([Math.ceil(bytes / 8)])
  const copy = (): Tensor => source.clone()
  const times = Math.max(1, Math.round(2e8 / bytes))
  const [own, copies]: [number[], number[]] = [[], []]
  for (let i = -1; i < rounds; i++) {
    const [a, b] = [await milliseconds(run, times), await milliseconds(copy, times)]
    // The first round pays for memory.
    if (i < 0) continue
    own.push(a)
    copies.push(b)
  }
  const ms = median(own)
  const share = (100 * median(copies)) / ms
  console.log(
    `| ${name} | ${ms.toPrecision(3)} | ${(bytes / ms / 1e6).toFixed(0)} | ${share.toFixed(0)} % |`,
  )
}
