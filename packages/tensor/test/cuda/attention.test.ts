// Attention on a GPU against the CPU's in f32: few queries over caches of any length, which are cut among blocks, and the forms that
// tensor cores take.
import {
  isCudaAvailable,
  manualSeed,
  rand,
  randint,
  randn,
  scaledDotProductAttention,
  setDefaultDevice,
  Tensor,
  tensor,
  type AttentionOptions,
} from '@shakti/tensor'
import { assert, assertClose, test, type Tolerance } from '../assert.js'

type Float = 'f32' | 'bf16' | 'f16'
// What the elements' dtype rounds: the result, and the weights of the softmax before their product.
const tolerance: Record<Float, Tolerance> = {
  f32: { rtol: 1e-5, atol: 1e-6 },
  f16: { rtol: 1e-3, atol: 5e-4 },
  bf16: { rtol: 8e-3, atol: 4e-3 },
}

interface Sizes {
  b?: number
  lq: number
  lk: number
  h: number
  hk: number
  d: number
}

/** q, k, v as [b, l, h, d]; keys and values as views of a longer cache. */
function operands({ b = 1, lq, lk, h, hk, d }: Sizes, dtype: Float): [Tensor, Tensor, Tensor] {
  const cache = (): Tensor =>
    randn([b, lk + 3, hk, d])
      .to(dtype)
      .narrow(1, 0, lk)
  return [randn([b, lq, h, d]).to(dtype), cache(), cache()]
}

const onGpu = (options: AttentionOptions): AttentionOptions =>
  Object.fromEntries(
    Object.entries(options).map(([name, value]: [string, unknown]) => [
      name,
      value instanceof Tensor ? value.to('cuda') : value,
    ]),
  )

const described = (sizes: Sizes, dtype: Float, options: AttentionOptions): string =>
  `${dtype} ${JSON.stringify(sizes)} ${Object.keys(options).join(' ')}`

function compare(sizes: Sizes, dtype: Float, options: AttentionOptions = {}): void {
  const all = { layout: 'blhd', ...options } as const
  const [q, k, v] = operands(sizes, dtype)
  const want = scaledDotProductAttention(q.to('f32'), k.to('f32'), v.to('f32'), all)
  const run = (): Tensor =>
    scaledDotProductAttention(q.to('cuda'), k.to('cuda'), v.to('cuda'), onGpu(all)).to('f32')
  const got = run().dataSync()
  const what = described(sizes, dtype, options)
  assertClose(got, want.dataSync(), tolerance[dtype], what)
  assert.equal(run().dataSync(), got, `${what}: again`)
}

/** Keys and values in bytes against the numbers that they stand for. */
function compareBytes(sizes: Sizes, dtype: Float, options: AttentionOptions = {}): void {
  const { b = 1, lq, lk, h, hk, d } = sizes
  const all = { layout: 'blhd', ...options } as const
  const q = randn([b, lq, h, d]).to(dtype)
  const view = (t: Tensor): Tensor => t.narrow(1, 0, lk)
  const numbers = (): Tensor => view(randint(0, 256, [b, lk + 3, hk, d]).to('u8'))
  const scales = (): Tensor =>
    view(
      rand([b, lk + 3, hk, 1])
        .add(1)
        .mul(0.008),
    )
  const [k, v, keyScale, valueScale] = [numbers(), numbers(), scales(), scales()]
  const whole = (x: Tensor, scale: Tensor): Tensor => x.to('f32').sub(128).mul(scale)
  const want = scaledDotProductAttention(q.to('f32'), whole(k, keyScale), whole(v, valueScale), all)
  const got = scaledDotProductAttention(
    q.to('cuda'),
    k.to('cuda'),
    v.to('cuda'),
    onGpu({ ...all, keyScale, valueScale }),
  )
  const what = `bytes, ${described(sizes, dtype, options)}`
  assertClose(got.to('f32').dataSync(), want.dataSync(), tolerance[dtype], what)
}

function compareGradients(sizes: Sizes, dtype: Float, options: AttentionOptions): void {
  const all = { layout: 'blhd', ...options } as const
  const given = operands(sizes, dtype)
  const g = randn(given[0].shape).to(dtype)
  const gradients = (device: 'cpu' | 'cuda', of: Float): Float32Array[] => {
    const leaves = given.map((t) => {
      const leaf = t.to(of).to(device).contiguous().clone()
      leaf.requiresGrad = true
      return leaf
    })
    const [q, k, v] = leaves as [Tensor, Tensor, Tensor]
    const y = scaledDotProductAttention(q, k, v, device === 'cuda' ? onGpu(all) : all)
    y.backward(g.to(of).to(device))
    return leaves.map((t) => t.grad!.to('f32').dataSync() as Float32Array)
  }
  const want = gradients('cpu', 'f32')
  gradients('cuda', dtype).forEach((got, i) => {
    // Sums over many weights that were rounded: the error is one of the largest element.
    const atol = tolerance[dtype].rtol! * Math.max(...want[i]!.map(Math.abs))
    const what = `${described(sizes, dtype, options)}: d${'qkv'[i]}`
    assertClose(got, want[i]!, { rtol: tolerance[dtype].rtol!, atol }, what)
  })
}

if (!isCudaAvailable()) {
  test.skip('no GPU: SHAKTI_LIBCUDA names none, and this machine has none', () => undefined)
} else {
  setDefaultDevice('cpu')

  for (const dtype of ['f32', 'bf16', 'f16'] as const) {
    test(`${dtype}: a query over caches from one key to many parts, heads alone and in groups, every head dim`, () => {
      manualSeed(1)
      for (const lk of [1, 33, 257, 1030]) {
        for (const [h, hk, d] of [
          [2, 2, 64],
          [8, 2, 80],
          [8, 1, 128],
        ] as const)
          compare({ lq: 1, lk, h, hk, d }, dtype, { isCausal: true })
      }
      compare({ b: 2, lq: 1, lk: 300, h: 6, hk: 3, d: 96 }, dtype)
    })

    test(`${dtype}: several queries after a cache, causal, in a window, packed, masked, with a bias`, () => {
      manualSeed(2)
      compare({ lq: 7, lk: 400, h: 6, hk: 2, d: 64 }, dtype, { isCausal: true })
      compare({ lq: 5, lk: 700, h: 4, hk: 1, d: 72 }, dtype, { isCausal: true, window: 150 })
      const borders = (...at: number[]): Tensor => tensor(at, { dtype: 'i32' })
      const packed = {
        cuSeqlensQ: borders(0, 1, 4, 4, 6),
        cuSeqlensK: borders(0, 200, 290, 300, 420),
      }
      compare({ lq: 6, lk: 420, h: 4, hk: 2, d: 64 }, dtype, packed)
      compare({ lq: 6, lk: 420, h: 4, hk: 2, d: 64 }, dtype, { ...packed, isCausal: true })
      // A cache with room: keys behind the last border are not there.
      const room = { cuSeqlensQ: borders(0, 2), cuSeqlensK: borders(0, 310) }
      compare({ lq: 2, lk: 420, h: 4, hk: 2, d: 64 }, dtype, { ...room, isCausal: true })
      const keep = randn([1, 1, 3, 270]).gt(0.5)
      compare({ lq: 3, lk: 270, h: 4, hk: 2, d: 80 }, dtype, { mask: keep })
      compare({ lq: 3, lk: 270, h: 4, hk: 2, d: 80 }, dtype, { mask: randn([4, 3, 270]) })
      // More queries than keys: the first see nothing.
      compare({ lq: 9, lk: 4, h: 2, hk: 1, d: 64 }, dtype, { isCausal: true })
    })

    test(`${dtype}: keys in bytes, one query or many, split or not, every head dim, causal, in a window, with room, masked`, () => {
      manualSeed(5)
      const causal = { isCausal: true }
      for (const lk of [1, 33, 257, 1030]) compareBytes({ lq: 1, lk, h: 8, hk: 2, d: 128 }, dtype)
      compareBytes({ b: 2, lq: 1, lk: 300, h: 6, hk: 3, d: 80 }, dtype, causal)
      compareBytes({ lq: 5, lk: 400, h: 4, hk: 1, d: 96 }, dtype, { ...causal, window: 150 })
      compareBytes({ lq: 3, lk: 270, h: 4, hk: 2, d: 48 }, dtype, { mask: randn([3, 270]) })
      // Neither of these heads is in whole words of 16 bytes.
      compareBytes({ lq: 2, lk: 150, h: 4, hk: 2, d: 72 }, dtype, causal)
      compareBytes({ lq: 2, lk: 40, h: 2, hk: 1, d: 7 }, dtype, causal)
      const borders = (...at: number[]): Tensor => tensor(at, { dtype: 'i32' })
      const room = { cuSeqlensQ: borders(0, 1), cuSeqlensK: borders(0, 310) }
      compareBytes({ lq: 1, lk: 420, h: 4, hk: 2, d: 64 }, dtype, { ...room, ...causal })
      compareBytes({ lq: 70, lk: 90, h: 2, hk: 1, d: 128 }, dtype, causal)
    })

    test(`${dtype}: long texts, packed and in a window`, () => {
      manualSeed(3)
      compare({ lq: 130, lk: 130, h: 4, hk: 2, d: 80 }, dtype, { isCausal: true, window: 40 })
      const borders = tensor([0, 50, 51, 130], { dtype: 'i32' })
      compare({ lq: 130, lk: 130, h: 2, hk: 2, d: 64 }, dtype, {
        isCausal: true,
        cuSeqlensQ: borders,
      })
      compare({ lq: 70, lk: 90, h: 2, hk: 1, d: 128 }, dtype, { mask: randn([70, 90]) })
    })

    test(`${dtype}: gradients, in groups of heads, causal, in a window, packed, masked`, () => {
      manualSeed(4)
      const causal = { isCausal: true }
      compareGradients({ b: 2, lq: 70, lk: 70, h: 4, hk: 2, d: 64 }, dtype, causal)
      compareGradients({ lq: 130, lk: 130, h: 2, hk: 1, d: 80 }, dtype, { ...causal, window: 40 })
      const cuSeqlensQ = tensor([0, 30, 31, 100], { dtype: 'i32' })
      compareGradients({ lq: 100, lk: 100, h: 2, hk: 2, d: 96 }, dtype, { ...causal, cuSeqlensQ })
      compareGradients({ lq: 70, lk: 50, h: 2, hk: 1, d: 128 }, dtype, causal)
      const mask = randn([1, 1, 65, 90]).gt(-1)
      compareGradients({ lq: 65, lk: 90, h: 2, hk: 1, d: 128 }, dtype, { mask })
    })
  }
}

test.run()
