// Products with packed weights on a GPU: integer instructions of tensor cores, the same bits as on the CPU.
import {
  isCudaAvailable,
  manualSeed,
  quantizedLinear,
  QuantizedWeight,
  quantizeWeight,
  rand,
  randn,
  setDefaultDevice,
  tensor,
} from '@shakti/tensor'
import { assert, test } from '../assert.js'

if (!isCudaAvailable()) {
  test.skip('no GPU: SHAKTI_LIBCUDA names none, and this machine has none', () => undefined)
} else {
  setDefaultDevice('cpu')

  // Rows on both sides of what each kernel takes, depths that end within a group and within a run of the few-row kernel,
  // columns that end within a panel.
  const rows = [1, 3, 16, 33, 100]
  for (const bits of [8, 4] as const) {
    for (const group of [32, 64, 128] as const) {
      for (const zeroPoint of [false, true]) {
        const format = { bits, group, zeroPoint }
        test(`any number of rows has the CPU's bits: ${JSON.stringify(format)}`, () => {
          manualSeed(bits * group)
          const [w, bias] = [randn([75, 1100]).add(randn([75, 1])), randn([75])]
          const here = quantizeWeight(w, format)
          const there = quantizeWeight(w.to('cuda'), format)
          assert.equal(there.packed.dataSync(), here.packed.dataSync())
          for (const m of rows) {
            const x = randn([m, 1100])
            const want = quantizedLinear(x, here, bias).dataSync()
            const got = quantizedLinear(x.to('cuda'), there, bias.to('cuda')).dataSync()
            assert.equal(got, want, `${m} rows`)
          }
        })
      }
    }
  }

  test("weights at their dtype's last number are packed as on the CPU, and come back finite", () => {
    manualSeed(7)
    for (const [dtype, last] of [
      ['f32', 3.4028234663852886e38],
      ['bf16', 3.3895313892515355e38],
      ['f16', 65504],
    ] as const) {
      const numbers = (rand([40, 128]).mul(1.5).sub(0.75).dataSync() as Float32Array).map(
        (v) => v * last,
      )
      for (let i = 0; i < numbers.length; i += 37) numbers[i] = i % 2 === 0 ? last : -last
      const w = tensor(numbers, { shape: [40, 128] }).to(dtype)
      for (const bits of [8, 4] as const) {
        for (const zeroPoint of [false, true]) {
          const here = quantizeWeight(w, { bits, group: 32, zeroPoint })
          const there = quantizeWeight(w.to('cuda'), { bits, group: 32, zeroPoint })
          assert.equal(there.packed.dataSync(), here.packed.dataSync(), `${bits} bits of ${dtype}`)
          const back = there.dequantize(dtype).to('f32').dataSync() as Float32Array
          assert.ok(
            back.every(Number.isFinite),
            `${bits} bits of ${dtype}, zero points: ${zeroPoint}`,
          )
        }
      }
    }
  })

  test('16-bit rows and the largest numbers that 8 bits hold are exact too', () => {
    const n = 40
    const k = 256
    // Every weight -128 steps or 127, x 127 steps: the longest sums of products that there can be.
    const packed = quantizeWeight(randn([n, k]), { group: 128 }).packed
    const bytes = packed.dataSync() as Uint8Array
    const perPanel = packed.shape[1]!
    const filled = Uint8Array.from(bytes, (b, i) =>
      i % perPanel < 2 * 32 * 2 ? b : Math.floor(i / perPanel) % 2 === 0 ? 0 : 255,
    )
    for (const m of [2, 40]) {
      for (const dtype of ['f32', 'bf16', 'f16'] as const) {
        const x = tensor(new Float32Array(m * k).fill(1), { shape: [m, k] }).to(dtype)
        const product = (device: 'cpu' | 'cuda'): unknown => {
          const p = tensor(filled, { shape: packed.shape, dtype: 'u8' }).to(device)
          const w = new QuantizedWeight(p, [n, k], { group: 128 })
          return quantizedLinear(x.to(device), w).to('f32').dataSync()
        }
        assert.equal(product('cuda'), product('cpu'), `${m} rows of ${dtype}`)
      }
    }
  })
}

test.run()
