// A few rows of attention beside others: what a token gets alone and among guessed ones.
import { manualSeed, randn, scaledDotProductAttention } from '@shakti/tensor'
import { assert, test } from './assert.js'

const scales = (length: number): ReturnType<typeof randn> => randn([1, length, 2, 1]).abs()

for (const dtype of ['f32', 'bf16', 'f16', 'u8'] as const)
  test(`six queries of four heads a head of keys in ${dtype} get together what each gets alone, to the bit`, () => {
    manualSeed(1)
    const [tokens, keys, dim] = [6, 700, 40]
    const wide = dtype === 'u8' ? 'bf16' : dtype
    const q = randn([1, tokens, 8, dim]).to(wide)
    const [k, v] = [0, 1].map(() => {
      const x = randn([1, keys, 2, dim])
      return dtype === 'u8' ? x.mul(40).add(128).clamp(0, 255).to('u8') : x.to(dtype)
    }) as [typeof q, typeof q]
    const own = dtype === 'u8' ? { keyScale: scales(keys).div(40), valueScale: scales(keys) } : {}
    const options = { layout: 'blhd', ...own } as const
    const together = scaledDotProductAttention(q, k, v, options)
    for (let i = 0; i < tokens; i++) {
      const alone = scaledDotProductAttention(q.narrow(1, i, 1), k, v, options)
      assert.equal(together.narrow(1, i, 1).toArraySync(), alone.toArraySync(), `query ${i}`)
    }
  })

test.run()
