// The product's kernels against the CPU, on one simulated GPU: what differs between GPUs is which kernel takes a product, so each test
// says which it expects. On a GPU of its own (test:cuda --device) the same products run, and nobody tells which kernel it was.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import {
  isCudaAvailable,
  manualSeed,
  randn,
  setDefaultDevice,
  setFloat32MatmulPrecision,
  tensor,
  tidy,
  type DType,
  type LinearOptions,
  type Tensor,
} from '@shakti/tensor'
import { productInto } from '../../src/ops/matmul.js'
import { assert, assertClose, test } from '../assert.js'

const eps = { f32: 1e-6, bf16: 2 ** -8, f16: 2 ** -11 }
type Float = keyof typeof eps

/** The simulated GPU whose limits and instructions hold from here on, and the launches that it reports. */
function simulate(arch: 80 | 90): () => string[] {
  if (!process.env.SHAKTI_LIBCUDA) return () => []
  // The simulator writes to it once more when the process ends.
  const report = fileURLToPath(
    new URL(`../../../../kernels/build/products-${arch}.jsonl`, import.meta.url),
  )
  writeFileSync(report, '')
  Object.assign(process.env, {
    SHAKTI_SIM_ARCH: String(arch),
    SHAKTI_SIM_COUNTERS: 'launches',
    SHAKTI_SIM_REPORT: report,
  })
  let seen = 0
  return () => {
    const lines = readFileSync(report, 'utf8').split('\n').slice(0, -1)
    const names = lines.slice(seen).map((line) => (JSON.parse(line) as { kernel: string }).kernel)
    seen = lines.length
    return names
  }
}

/** As it lies: along its rows, or its columns. */
const lying = (x: Tensor, way: string): Tensor => (way === 'n' ? x : x.mT().contiguous().mT())

export function testProducts(arch: 80 | 90): void {
  const launches = simulate(arch)
  if (!isCudaAvailable()) {
    test.skip('no GPU: SHAKTI_LIBCUDA names none, and this machine has none', () => undefined)
    return
  }
  setDefaultDevice('cpu')

  /** Runs it on the GPU; the product's kernels that it launched are those of these names, where that can be known. */
  const expecting = (kernels: string[], run: () => Tensor): Tensor => {
    launchesOf(() => undefined)
    const y = run()
    const names = launchesOf(() => void y.dataSync())
    if (process.env.SHAKTI_LIBCUDA) assert.equal(names, kernels)
    return y
  }
  const launchesOf = (run: () => void): string[] => {
    run()
    return launches().filter((name) => /^(tensor|warpgroup|tiled|few_rows|add_pieces)/.test(name))
  }
  const there = (x: Tensor): Tensor => {
    const transposed = x.strides[x.ndim - 1] !== 1
    return transposed ? x.mT().to('cuda').mT() : x.to('cuda')
  }
  /** a b on the GPU against the same in f32 on the CPU. */
  const check = (
    what: string,
    kernels: string[],
    a: Tensor,
    b: Tensor,
    { bias, residual, swiglu, ...given }: LinearOptions & { bias?: Tensor } = {},
  ): void => {
    const dtype = a.dtype as Float
    const wide = (x: Tensor | undefined): Tensor | undefined => x?.to('f32')
    const on = <T extends Tensor | undefined>(x: T): T => (x && there(x)) as T
    const linear = (x: Tensor, w: Tensor, bs?: Tensor, o: LinearOptions = {}): Tensor =>
      x.linear(w.mT(), bs, o)
    const plain = !bias && !residual && !swiglu && Object.keys(given).length === 0
    const want = plain
      ? wide(a)!.matmul(wide(b)!)
      : linear(wide(a)!, wide(b)!, wide(bias), {
          ...given,
          residual: wide(residual),
          swiglu: wide(swiglu),
        })
    const [x, y] = [on(a), on(b)]
    const got = expecting(kernels, () =>
      plain
        ? x.matmul(y)
        : linear(x, y, on(bias), { ...given, residual: on(residual), swiglu: on(swiglu) }),
    )
    const k = a.shape.at(-1)!
    const close = { rtol: 2 * eps[dtype], atol: 4 * eps[dtype] + 1e-6 * Math.sqrt(k) }
    assertClose(got.dataSync(), want.dataSync(), close, what)
  }
  const numbers = (shape: number[], dtype: DType): Tensor => randn(shape).mul(0.5).to(dtype)
  const hopper = arch === 90

  // 128 tiles of 128 x 256, the last ones cut on both sides, and the depth within a line of 128 bytes.
  for (const [dtype, way, k, given] of [
    ['bf16', 'nt', 72, 'bias gelu residual'],
    ['bf16', 'tn', 200, ''],
    ['f16', 'nn', 40, 'bias swiglu'],
    ['f16', 'tt', 584, ''],
  ] as const) {
    test(`a large product of ${dtype}, lying ${way}, depth ${k} ${given}`, () => {
      manualSeed(k)
      tidy(() => {
        const [m, n] = [1000, 4080]
        const a = lying(numbers([m, k], dtype), way[0]!)
        const b = lying(numbers([k, n], dtype), way[1]!)
        const kernel = `${hopper ? 'warpgroup' : 'tensor_large'}_${way}_${dtype}_${dtype}`
        check(way, [kernel], a, b, {
          ...(given.includes('bias') && { bias: numbers([n], dtype) }),
          ...(given.includes('gelu') && { activation: 'gelu' as const }),
          ...(given.includes('residual') && { residual: numbers([m, n], dtype) }),
          ...(given.includes('swiglu') && { swiglu: numbers([m, n], dtype) }),
        })
      })
    })
  }

  test('more tiles than the GPU has multiprocessors, of several matrices, one operand the same for all', () => {
    manualSeed(5)
    tidy(() => {
      const kernel = hopper ? 'warpgroup_nn_bf16_bf16' : 'tensor_large_nn_bf16_bf16'
      const a = numbers([3, 500, 40], 'bf16')
      check('batches', [kernel], a, numbers([3, 40, 3072], 'bf16'))
      check('one b', [kernel], a, numbers([40, 3072], 'bf16').expand([3, 40, 3072]))
    })
  })

  test('sums in f32 of 16-bit factors, added to what is there', () => {
    manualSeed(6)
    tidy(() => {
      const [a, b] = [numbers([1024, 24], 'bf16'), lying(numbers([24, 4096], 'bf16'), 't')]
      const y = randn([1024, 4096])
      const gpu = y.to('cuda')
      const kernel = hopper ? 'warpgroup_nt_bf16_f32' : 'tensor_large_nt_bf16_f32'
      expecting([kernel], () => productInto(gpu, there(a), there(b), { accumulate: true }))
      const want = y.add(a.to('f32').matmul(b.to('f32')))
      assertClose(gpu.dataSync(), want.dataSync(), { rtol: 1e-5, atol: 1e-5 })
    })
  })

  if (hopper) return

  test('small products, an odd width, a depth in pieces, and an order that tensor cores do not take', () => {
    manualSeed(7)
    tidy(() => {
      check(
        'tails',
        ['tensor_small_nn_bf16_bf16'],
        numbers([70, 40], 'bf16'),
        numbers([40, 72], 'bf16'),
      )
      check(
        'y has no 16 bytes in a row',
        ['tensor_small_nt_f16_f16'],
        numbers([70, 40], 'f16'),
        lying(numbers([40, 77], 'f16'), 't'),
        { bias: numbers([77], 'f16'), residual: numbers([70, 77], 'f16') },
      )
      check(
        'residual by columns',
        ['tensor_small_nt_bf16_bf16'],
        numbers([33, 24], 'bf16'),
        lying(numbers([24, 64], 'bf16'), 't'),
        { residual: lying(numbers([33, 64], 'bf16'), 't'), activation: 'silu' },
      )
      check(
        'pieces',
        ['tensor_small_tn_bf16_bf16', 'add_pieces_bf16_bf16'],
        lying(numbers([96, 1100], 'bf16'), 't').narrow(0, 0, 96),
        numbers([1100, 80], 'bf16'),
        { bias: numbers([80], 'bf16') },
      )
      check('rows of 5', ['tiled_bf16_bf16'], numbers([20, 5], 'bf16'), numbers([5, 30], 'bf16'))
    })
  })

  test('70,000 matrices in one product', () => {
    manualSeed(8)
    tidy(() => {
      const [a, b] = [numbers([70_000, 1, 4], 'f32'), lying(numbers([70_000, 4, 2], 'f32'), 't')]
      check('batch', ['few_rows_f32_f32'], a, b)
    })
  })

  const asTf32 = (x: Tensor): Tensor => {
    const words = new Int32Array(Float32Array.from(x.dataSync() as ArrayLike<number>).buffer)
    const rounded = words.map((w) => (w + 0x1000) & ~0x1fff)
    return tensor(new Float32Array(rounded.buffer)).reshape(x.shape)
  }
  for (const way of ['nn', 'nt', 'tn', 'tt']) {
    test(`f32, lying ${way}: factors in tf32 where that is allowed, and only there`, () => {
      manualSeed(9)
      tidy(() => {
        const [a, b] = [randn([204, 136]), randn([136, 156])]
        const [x, y] = [there(lying(a, way[0]!)), there(lying(b, way[1]!))]
        const exact = a.matmul(b)
        const close = { rtol: 1e-5, atol: 1e-4 }
        const f32 = expecting(['tiled_f32_f32'], () => x.matmul(y))
        assertClose(f32.dataSync(), exact.dataSync(), close)
        try {
          for (const precision of ['high', 'medium'] as const) {
            setFloat32MatmulPrecision(precision)
            const tf32 = expecting([`tensor_small_${way}_f32_f32`], () => x.matmul(y))
            setFloat32MatmulPrecision('highest')
            assertClose(tf32.dataSync(), asTf32(a).matmul(asTf32(b)).dataSync(), close)
            assert.ok(Number(tf32.to('cpu').sub(exact).abs().max().dataSync()[0]) > 1e-3)
          }
        } finally {
          setFloat32MatmulPrecision('highest')
        }
      })
    })
  }
}
