// The stream: order, late errors, when the executor is woken, what a dying thread leaves behind.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import {
  assert,
  floats,
  i32,
  info,
  internal,
  ints,
  native,
  read,
  refused,
  release,
  run,
  test,
} from './border.js'

const addon = createRequire(import.meta.url).resolve('@shakti/kernels')
const flush = (): Promise<number> => new Promise((resolve) => native.flush(resolve))

/** Submits an embedding lookup of a row that is not there; found only when the stream gets to it. */
function lookUpMissingRow(weight: number): number {
  const ids = ints([0, 99])
  const [y] = run(
    'embedding',
    [
      { handle: weight, shape: [2, 2] },
      { handle: ids, shape: [2], dtype: i32 },
    ],
    [{ handle: 0, shape: [2, 2] }],
  )
  release(ids)
  return y!
}

test('an index out of range is reported by the next read, with the op, its place and its value', () => {
  const weight = floats([1, 2, 3, 4])
  const y = lookUpMissingRow(weight)
  const error = refused(() => read(y, 4))
  assert.is(error.code, internal)
  assert.is(error.late, true)
  assert.is(error.op, 'embedding')
  assert.match(error.message, /99/)
  const later = refused(() =>
    run('neg', [{ handle: weight, shape: [4] }], [{ handle: 0, shape: [4] }]),
  )
  assert.match(later.message, /99.*neg/)
  assert.is(native.upload(weight, 0, new Float32Array(1)), -1)
  assert.is(native.sync(), -1)
  native.resetError()
  assert.is(native.sync(), 0)
  assert.equal(read(weight, 4), [1, 2, 3, 4])
  release(weight, y)
})

test('a read asked for before the faulty command gives its data, one asked for after rejects', async () => {
  native.configure({ inline: 'never', slowMicroseconds: 2000 })
  const weight = floats([1, 2, 3, 4])
  const into = new Float32Array(4)
  const codes: number[] = []
  const messages: string[] = []
  const answer = (code: number): void => {
    codes.push(code)
    messages.push(code < 0 ? native.lastError().message : '')
  }
  native.readAsync(weight, 0, into.buffer, answer)
  const y = lookUpMissingRow(weight)
  native.readAsync(y, 0, new ArrayBuffer(16), answer)
  native.configure({ inline: 'auto', slowMicroseconds: 0 })
  await flush()
  native.resetError()
  assert.equal(codes, [0, -1])
  assert.equal([...into], [1, 2, 3, 4])
  assert.match(messages[1]!, /99/)
  release(weight, y)
})

test('memory released at issue is not overwritten before its last queued reader has run', () => {
  native.configure({ inline: 'never', slowMicroseconds: 1000, poison: true })
  const n = 1024
  const want = Array.from({ length: n }, (_, i) => i)
  const a = floats(want)
  const view = { shape: [n] }
  const copies: number[] = []
  for (let i = 0; i < 20; i++) {
    const source = run('copy', [{ handle: a, ...view }], [{ handle: 0, ...view }])[0]!
    copies.push(run('copy', [{ handle: source, ...view }], [{ handle: 0, ...view }])[0]!)
    release(source)
    // Takes the block of `source`, whose reader is still queued; the host's write must wait its turn.
    const other = floats(Array.from({ length: n }, () => -1))
    release(other)
  }
  for (const c of copies) assert.equal(read(c, n), want)
  native.configure({ inline: 'auto', slowMicroseconds: 0, poison: false })
  release(a, ...copies)
})

test('reads into a buffer that is transferred away meanwhile neither crash nor hang', async () => {
  native.configure({ slowMicroseconds: 1000 })
  const a = floats([1, 2, 3, 4])
  const into = new ArrayBuffer(16)
  const done = new Promise((resolve) => native.readAsync(a, 0, into, resolve))
  const moved = structuredClone(into, { transfer: [into] })
  assert.is(await done, 0)
  assert.equal([...new Float32Array(moved)], [1, 2, 3, 4])
  native.configure({ slowMicroseconds: 0 })
  release(a)
})

test('commands too small to wake the executor for run all the same when the loop turns', async () => {
  native.configure({ inline: 'never' })
  const weight = floats([1, 2, 3, 4])
  await flush()
  let failed = false
  // Its error shows that it ran; nothing here reads or waits for it.
  const y = lookUpMissingRow(weight)
  for (let i = 0; i < 100_000 && !failed; i++) {
    await turn()
    failed = isRefused(weight)
  }
  assert.ok(failed, 'it never ran')
  native.resetError()
  native.configure({ inline: 'auto' })
  release(weight, y)
})

/** Whether the stream refuses work because a command has failed. */
function isRefused(handle: number): boolean {
  return native.upload(handle, 0, new Float32Array(0)) < 0 && native.lastError().late
}

test('small commands run on the calling thread, and the executor is not woken once for each of the others', async () => {
  const a = floats([1, 2, 3, 4])
  const view = { handle: a, shape: [4] }
  // Reading returns with nothing under way; the promise of flush() may be fulfilled a moment before its own command has
  // left the stream, if the executor is interrupted there.
  read(a, 4)
  const before = native.stats()
  for (let i = 0; i < 1000; i++) run('neg', [view], [view])
  assert.is(native.stats().inlined - before.inlined, 1000)
  native.configure({ inline: 'never' })
  for (let i = 0; i < 1000; i++) run('neg', [view], [view])
  assert.equal(read(a, 4), [1, 2, 3, 4])
  const after = native.stats()
  assert.is(after.commands - before.commands, 2000)
  assert.ok(after.wakes - before.wakes < 500, `${after.wakes - before.wakes} wakes`)
  native.configure({ inline: 'auto' })
  release(a)
})

test('results are the same inlined, queued and delayed, on every instruction set', () => {
  const n = 1000
  const data = Array.from({ length: n }, (_, i) => Math.fround(Math.sin(i)))
  for (const level of info.isas) {
    const results: number[][] = []
    for (const inline of ['auto', 'never', 'always'] as const) {
      native.configure({ inline, isa: level as 'portable' })
      let h = floats(data)
      for (let i = 0; i < 10; i++) {
        const [y] = run(
          'add',
          [
            { handle: h, shape: [n] },
            { handle: h, shape: [n] },
          ],
          [{ handle: 0, shape: [n] }],
          [0, 0],
        )
        release(h)
        h = y!
      }
      results.push(read(h, n))
      release(h)
    }
    const want = data.map((x) => x * 1024)
    for (const r of results) assert.equal(r, want, level)
  }
  native.configure({ inline: 'auto', isa: info.isa })
  assert.is(native.configure({ isa: 'mmx' as 'avx2' }), -1)
})

const workerCode = `
  const { parentPort, workerData } = require('node:worker_threads')
  const native = require(workerData.addon)
  const b = new Float64Array(65536)
  native.init(b.buffer)
  function matmul(n) {
    // [n, n] @ [n, n] of ones, on all threads of the pool
    const make = (op, inputs, attrs) => {
      const words = [native.opNames().indexOf(op), inputs.length, 1, attrs.length]
      for (const h of inputs) words.push(...(h ? [h, 0, 0, 2, n, n, n, 1] : [0, -1, 0, 0]))
      const at = words.length
      words.push(0, 0, 0, 2, n, n, n, 1, ...attrs)
      b.set(words)
      if (native.submit(words.length) < 0) throw new Error(native.lastError().message)
      return b[at]
    }
    const ones = make('fill', [], [1])
    const y = make('matmul', [ones, ones, 0, 0, 0], [0, 0, 0, 1, 0])
    const first = new Float32Array(1)
    const release = () => { b.set([ones, y]); native.release(2) }
    return { y, first, release }
  }
`

function worker(code: string): Worker {
  return new Worker(workerCode + code, { eval: true, workerData: { addon } })
}

test('workers have engines of their own', async () => {
  const code = `
    let sum = 0
    for (let i = 0; i < 20; i++) {
      const { y, first, release } = matmul(64 + workerData.n)
      native.readSync(y, 0, first)
      sum += first[0]
      release()
    }
    parentPort.postMessage([sum, native.stats().handles])`
  const got = await Promise.all(
    [1, 2, 3].map(async (n) => {
      const w = new Worker(workerCode + code, { eval: true, workerData: { addon, n } })
      // Asked for at once: on a busy machine both events may come in one turn, and a later listener would miss the exit.
      const [[message], [exit]] = (await Promise.all([once(w, 'message'), once(w, 'exit')])) as [
        [number[]],
        [number],
      ]
      return [...message, exit]
    }),
  )
  assert.equal(
    got,
    [1, 2, 3].map((n) => [20 * (64 + n), 0, 0]),
  )
})

test('workers terminated in the middle of commands, reads and waits leave the process whole', async () => {
  const loops = [
    'for (;;) { const { release } = matmul(100); release() }',
    'for (;;) { const { y, first, release } = matmul(100); native.readSync(y, 0, first); release() }',
    `(function again() { const { y, first, release } = matmul(100); native.readAsync(y, 0, first.buffer, again); release() })()`,
    `for (let i = 0; i < 300; i++) { const { y, first } = matmul(100); native.readAsync(y, 0, first.buffer, () => {}) }
     setInterval(() => {}, 1000)`,
    `native.configure({ slowMicroseconds: 5000 })
     for (let i = 0; i < 300; i++) matmul(8)
     native.sync()`,
  ]
  for (let round = 0; round < 2; round++) {
    for (const loop of loops.slice(0, round === 0 ? 5 : 4)) {
      const w = worker(`parentPort.postMessage('running'); ${loop}`)
      await once(w, 'message')
      for (let i = 0; i < 20; i++) await turn()
      await w.terminate()
    }
  }
  const a = floats([1])
  assert.equal(read(a, 1), [1])
  release(a)
})

test('a process whose workers alone used the addon ends well, with threads of the pool still there', () => {
  const script = `
    const { Worker } = require('node:worker_threads')
    const code = ${JSON.stringify(workerCode)} + 'const { y, first } = matmul(300); native.readSync(y, 0, first); if (first[0] !== 300) process.exit(3)'
    let left = 3
    const next = () => new Worker(code, { eval: true, workerData: { addon: ${JSON.stringify(addon)} } })
      .on('exit', (c) => { if (c) process.exit(4); if (--left) next(); else { global.gc && gc(); setTimeout(() => {}, 20) } })
    next()`
  execFileSync(process.execPath, ['--expose-gc', '-e', script], {
    env: { ...process.env, SHAKTI_NUM_THREADS: '3' },
    timeout: 60_000,
  })
})

test('the command buffer may be transferred away and collected', () => {
  const script = `
    const native = require(${JSON.stringify(addon)})
    let b = new Float64Array(65536)
    native.init(b.buffer)
    b.set([0, 1, 1, 0, NaN, 0, 0, 0, 0, 0, 0, 0])
    const moved = structuredClone(b.buffer, { transfer: [b.buffer] })
    for (let i = 0; i < 5; i++) { native.submit(12); native.release(100); gc() }
    if (native.submit(12) !== -1) process.exit(2)
    b = null; gc()
    if (native.submit(12) !== -1) process.exit(3)`
  execFileSync(process.execPath, ['--expose-gc', '-e', script], { timeout: 60_000 })
})

test('exit in the middle of queued work is clean, and reads on their way keep the process alive', () => {
  const head = `const native = require(${JSON.stringify(addon)}); native.init(new ArrayBuffer(2 ** 19)); native.configure({ slowMicroseconds: 1000 }); const h = native.alloc(64);`
  execFileSync(
    process.execPath,
    [
      '-e',
      `${head} for (let i = 0; i < 50; i++) native.readAsync(h, 0, new ArrayBuffer(64), () => {}); process.exit(0)`,
    ],
    { timeout: 60_000 },
  )
  const text = execFileSync(
    process.execPath,
    [
      '-e',
      `${head} for (let i = 0; i < 20; i++) native.readAsync(h, 0, new ArrayBuffer(64), (c) => process.stdout.write(String(c)))`,
    ],
    { timeout: 60_000, encoding: 'utf8' },
  )
  assert.is(text, '0'.repeat(20))
})

test('SHAKTI_CPU chooses the instruction set, and one that is not to be had is an error', () => {
  const script = `process.stdout.write(require(${JSON.stringify(addon)}).init(new ArrayBuffer(2 ** 19)).isa)`
  const start = (SHAKTI_CPU: string): string =>
    execFileSync(process.execPath, ['-e', script], {
      env: { ...process.env, SHAKTI_CPU },
      encoding: 'utf8',
      stdio: 'pipe',
    })
  assert.is(start('portable'), 'portable')
  assert.throws(
    () => start('mmx'),
    /SHAKTI_CPU=mmx is not one of portable, avx2, avx512, amx; this machine has portable/,
  )
  if (!info.features.includes('amx_bf16') || !info.features.includes('amx_int8'))
    assert.throws(
      () => start('amx'),
      /SHAKTI_CPU=amx: this machine, or its operating system, has no amx/,
    )
})

test.run()
