// Lifetime: what is freed when, and that nothing stays behind over many steps.
import { setImmediate as turn } from 'node:timers/promises'
import {
  adamw_,
  blockBytes,
  crossEntropy,
  keep,
  manualSeed,
  memory,
  noGrad,
  ones,
  OutOfMemoryError,
  randint,
  randn,
  resetPeakMemoryStats,
  setMemoryLimit,
  ShaktiError,
  synchronize,
  tensor,
  tidy,
  tidyAsync,
  zeros,
  zerosLike,
  type Tensor,
} from '@shakti/tensor'
import { assert, assertThrows, counts, test } from './assert.js'

test('blockBytes is what the allocator takes for a tensor', () => {
  for (const n of [
    0,
    1,
    64,
    65,
    255,
    256,
    257,
    1000,
    4096,
    5000,
    1 << 20,
    (1 << 20) + 1,
    3e6,
    9_000_001,
  ]) {
    const before = counts().liveBytes
    const t = zeros([n], { dtype: 'u8' })
    assert.is(memory().liveBytes - before, blockBytes(n), String(n))
    t.dispose()
  }
})

test('10,000 training steps keep memory() and the resident size flat', async () => {
  manualSeed(0)
  const w1 = randn([16, 8], { requiresGrad: true })
  const w2 = randn([4, 16], { requiresGrad: true })
  const params = [w1, w2]
  const m = params.map((p) => zerosLike(p))
  const v = params.map((p) => zerosLike(p))
  const x = randn([32, 8])
  const target = randint(0, 4, [32])
  let count = 0
  const step = (): void =>
    tidy(() => {
      const loss = crossEntropy(x.linear(w1).gelu().linear(w2), target)
      loss.backward()
      adamw_(
        params,
        params.map((p) => p.grad!),
        m,
        v,
        { lr: 1e-3, step: ++count },
      )
      for (const p of params) p.grad = undefined
    })
  for (let i = 0; i < 1000; i++) step()
  await synchronize()
  const before = counts()
  const rss = process.memoryUsage().rss
  for (let i = 0; i < 10_000; i++) {
    step()
    if (i % 100 === 99) await synchronize()
  }
  const after = counts()
  assert.is(after.tensors, before.tensors)
  assert.is(after.liveBytes, before.liveBytes)
  assert.is(after.reservedBytes, before.reservedBytes)
  const grown = (process.memoryUsage().rss - rss) / 2 ** 20
  // One leaked 2 KiB activation a step would be 20 MiB; the heap of V8 breathes by a few.
  assert.ok(grown < 16, `the process grew by ${grown.toFixed(1)} MiB`)
})

/** The most MiB that were alive in a loop that makes tensors of 1 MiB and drops each at once. */
function mostInALoop(count: number): number {
  const before = counts().liveBytes
  const x = ones([1 << 18])
  let most = 0
  for (let i = 0; i < count; i++) {
    x.add(i)
    if (i % 10 === 0) most = Math.max(most, memory().liveBytes - before)
  }
  return most / 2 ** 20
}

test('a loop without tidy, without await, does not run out: the collector frees what nobody holds', () => {
  const most = mostInALoop(3000)
  assert.ok(most < 600, `3,000 tensors of 1 MiB were alive by ${most.toFixed(0)} MiB at most`)
})

test('tidy frees what was made inside, except what it returns and what is kept', () => {
  const before = counts().tensors
  let kept: Tensor | undefined
  const out = tidy(() => {
    const a = ones([3])
    kept = keep(a.add(1))
    const b = a.mul(2)
    return { list: [b, b.reshape([3, 1])], n: 1 }
  })
  assert.is(counts().tensors, before + 2)
  assert.equal([...out.list[1]!.dataSync()], [2, 2, 2])
  assert.equal([...kept!.dataSync()], [2, 2, 2])
  for (const t of [...out.list, kept!]) t.dispose()
  assert.is(counts().tensors, before)
})

test('a nested tidy hands its result to the outer one', () => {
  const before = counts().tensors
  tidy(() => {
    const inner = tidy(() => ones([2]).add(1))
    assert.equal([...inner.dataSync()], [2, 2])
  })
  assert.is(counts().tensors, before)
})

test('tidy frees when its function throws', () => {
  const before = counts().tensors
  assertThrows(
    () =>
      tidy(() => {
        ones([2]).add(1)
        throw new RangeError('x')
      }),
    RangeError,
  )
  assert.is(counts().tensors, before)
})

test('tidy refuses a promise, tidyAsync takes it', async () => {
  const before = counts().tensors
  assertThrows(() => tidy(() => Promise.resolve(1)), ShaktiError, 'tidyAsync')
  const out = await tidyAsync(async () => {
    const a = ones([2])
    await turn()
    const b = a.add(1)
    await b.data()
    return b.mul(3)
  })
  assert.is(counts().tensors, before + 1)
  assert.equal([...out.dataSync()], [6, 6])
  out.dispose()
})

test('two tidyAsync that run at the same time keep their tensors apart', async () => {
  const before = counts().tensors
  const job = (k: number): Promise<number> =>
    tidyAsync(async () => {
      const a = tensor([k])
      for (let i = 0; i < 5; i++) await turn()
      return a.mul(2).item()
    })
  assert.equal(await Promise.all([job(1), job(2), job(3)]), [2, 4, 6])
  assert.is(counts().tensors, before)
})

test('a gradient outlives the scope in which it was computed', () => {
  const w = ones([3], { requiresGrad: true })
  tidy(() => w.mul(2).sum().backward())
  assert.equal([...w.grad!.dataSync()], [2, 2, 2])
  tidy(() => w.mul(3).sum().backward())
  assert.equal([...w.grad!.dataSync()], [5, 5, 5])
})

test('a view keeps the memory when its base is disposed', () => {
  const a = tensor([1, 2, 3, 4])
  const v = a.narrow(0, 1, 2)
  a.dispose()
  const noise = Array.from({ length: 20 }, () => zeros([4]))
  assert.equal([...v.dataSync()], [2, 3])
  for (const t of noise) t.dispose()
})

test('disposing an operand right after the call does not disturb the queued command', () => {
  for (let i = 0; i < 200; i++) {
    tidy(() => {
      const a = ones([1000]).mul(i)
      const b = a.add(1)
      a.dispose()
      const c = zeros([1000])
      assert.is(b.sum().itemSync(), 1000 * (i + 1))
      c.dispose()
    })
  }
})

test('host data written while older commands are queued does not overtake them', () => {
  tidy(() => {
    const n = 1 << 16
    let x = ones([n])
    for (let i = 0; i < 50; i++) {
      const big = x.add(1)
      x.dispose()
      // The block of x is free for reuse while its reader may still be queued.
      const filled = tensor(new Float32Array(n).fill(-1000))
      x = big
      filled.dispose()
    }
    assert.equal([x.amin().itemSync(), x.amax().itemSync()], [51, 51])
  })
})

test('more memory than there is gives OutOfMemoryError at the call, and work goes on', () => {
  const before = counts()
  assertThrows(() => zeros([2 ** 45]), OutOfMemoryError)
  assertThrows(() => zeros([2 ** 36, 64]).add(1), OutOfMemoryError)
  assert.is(counts().tensors, before.tensors)
  assert.equal([...ones([2]).add(1).dataSync()], [2, 2])
})

test('memory() tells a peak since its last reset, and on request what physical memory there is', () => {
  zeros([2 ** 21]).dispose()
  resetPeakMemoryStats()
  const before = memory({ pages: true })
  assert.is(before.peakBytes, before.liveBytes)
  const x = ones([2 ** 21])
  x.sum().itemSync()
  const after = memory({ pages: true })
  assert.ok(after.peakBytes >= before.liveBytes + 2 ** 23)
  assert.ok(after.residentBytes >= 2 ** 23 && after.residentBytes <= after.reservedBytes)
  assert.ok(after.hugePageBytes <= after.residentBytes)
  assert.not('residentBytes' in memory())
  x.dispose()
})

test('the tape of a loss that is dropped is dropped with it', () => {
  const w = randn([64, 64], { requiresGrad: true })
  const before = counts().liveBytes
  tidy(() => void w.matmul(w).exp().sum())
  assert.is(counts().liveBytes, before)
  noGrad(() => tidy(() => void w.matmul(w)))
  assert.is(counts().liveBytes, before)
})

test('where memory is short, the collector is called before V8 would', () => {
  // V8 alone, which starts at 64 MiB and goes by steps, lets 120 MiB and more come together.
  setMemoryLimit(256 * 2 ** 20)
  const most = mostInALoop(600)
  setMemoryLimit(0)
  assert.ok(most < 64, `${most.toFixed(0)} MiB were alive at most`)
})

test.run()
