// The event loop goes on during long work, and worker threads have engines of their own.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import {
  cat,
  deviceInfo,
  manualSeed,
  ones,
  randint,
  randn,
  setNumThreads,
  synchronize,
  tidy,
  type Tensor,
} from '@shakti/tensor'
import { assert, test } from './assert.js'

/** How often the loop came round before `work` was done. */
async function ticksDuring(work: () => Promise<unknown>): Promise<number> {
  let ticks = 0
  let running = true
  const tick = (): void => {
    ticks++
    if (running) setImmediate(tick)
  }
  setImmediate(tick)
  await work()
  running = false
  return ticks
}

test('a timer keeps ticking during a long product: issuing returns at once and data() waits elsewhere', async () => {
  const a = randn([1500, 1500])
  await synchronize()
  let timerTicks = 0
  const timer = setInterval(() => timerTicks++, 1)
  const ticks = await ticksDuring(async () => {
    let x = a
    for (let i = 0; i < 12; i++) x = x.matmul(a).mul(1e-3)
    await x.sum().data()
  })
  clearInterval(timer)
  // A blocked loop comes round once; 40 GFLOP give it thousands of turns on any machine.
  assert.ok(ticks > 10, `the loop came round ${ticks} times`)
  assert.ok(timerTicks > 2, `the timer ticked ${timerTicks} times`)
})

test('synchronize() does not block the loop either', async () => {
  const a = randn([1200, 1200])
  const ticks = await ticksDuring(async () => {
    for (let i = 0; i < 8; i++) a.matmul(a)
    await synchronize()
  })
  assert.ok(ticks > 10, `the loop came round ${ticks} times`)
})

test('reads come in the order of the stream, whatever the order of awaiting', async () => {
  const x = ones([4])
  const first = x.data()
  x.add_(1)
  const second = x.data()
  x.mul_(10)
  const third = x.data()
  assert.equal([...(await third)], [20, 20, 20, 20])
  assert.equal([...(await second)], [2, 2, 2, 2])
  assert.equal([...(await first)], [1, 1, 1, 1])
})

/** The worker's first message; an error when it ends without one. */
async function firstMessage(worker: Worker): Promise<unknown> {
  const ended = once(worker, 'exit').then(([code]) => {
    throw new Error(`the worker ended with ${String(code)} before it said anything`)
  })
  const [message] = await Promise.race([once(worker, 'message'), ended])
  ended.catch(() => undefined)
  return message
}

function start(name: string, workerData: unknown): Worker {
  // Node 20 does not pass --import's hooks on to workers; tsx's own import does. The timer keeps the worker's loop alive
  // while tsx compiles in another thread.
  const path = JSON.stringify(new URL(`workers/${name}.ts`, import.meta.url).href)
  const code = `
    const alive = setInterval(() => undefined, 1000)
    import('tsx/esm/api').then(({ tsImport }) => tsImport(${path}, ${path})).finally(() => clearInterval(alive))`
  return new Worker(code, { eval: true, workerData })
}

test('four workers compute what the main thread computes, each with its own memory', async () => {
  const want = [1, 2, 3, 4].map((seed) => {
    manualSeed(seed)
    const a = randn([200, 200])
    let sum = 0
    for (let i = 0; i < 20; i++) sum += tidy(() => a.matmul(a).sum().itemSync())
    return sum
  })
  const got = await Promise.all(
    [1, 2, 3, 4].map(async (seed) => {
      const worker = start('product', seed)
      const ended = once(worker, 'exit')
      const message = (await firstMessage(worker)) as { sum: number; tensors: number }
      await ended
      return message
    }),
  )
  assert.equal(
    got.map((g) => g.sum),
    want,
  )
  assert.equal(
    got.map((g) => g.tensors),
    [1, 1, 1, 1],
  )
})

test('workers that are terminated in the middle of a loop of commands leave the process whole', async () => {
  for (let i = 0; i < 4; i++) {
    const worker = start('endless', 0)
    await firstMessage(worker)
    await worker.terminate()
  }
  assert.is(ones([3]).sum().itemSync(), 3)
})

test('results do not depend on the number of threads', () => {
  manualSeed(5)
  const [a, b, residual] = [randn([300, 310]), randn([310, 290]), randn([300, 290])]
  const fused = (): Tensor => a.linear(b.mT(), b.select(0, 0), { activation: 'gelu', residual })
  const run = (): number[][] =>
    [a.matmul(b), fused(), a.softmax(-1), a.sum(), a.sum(0), a.exp()].map((t) => [...t.dataSync()])
  setNumThreads(1)
  const one = run()
  setNumThreads(2)
  const two = run()
  setNumThreads(3)
  assert.equal(run(), one)
  assert.equal(two, one)
  setNumThreads(2)
})

test('rows are added at their places in order, whatever the columns, the layout of the rows and the threads', () => {
  manualSeed(4)
  const { threads } = deviceInfo()
  for (const columns of [1, 63, 64, 65, 200]) {
    const [x, rows] = [randn([50, columns]), randn([300, columns])]
    const places = randint(0, 50, [300])
    const want = Float32Array.from(x.dataSync())
    const [added, at] = [rows.dataSync(), places.dataSync()]
    at.forEach((row, k) => {
      for (let j = 0; j < columns; j++) {
        const i = row * columns + j
        want[i] = want[i]! + added[k * columns + j]!
      }
    })
    const apart = cat([rows, rows], 1).narrow(1, 0, columns)
    const turned = rows.mT().contiguous().mT()
    for (const n of [1, 2]) {
      setNumThreads(n)
      for (const source of [rows, apart, turned])
        assert.equal(
          x.indexAdd(0, places, source).dataSync(),
          want,
          `${columns} columns, ${n} threads`,
        )
    }
    setNumThreads(threads)
  }
})

test.run()
