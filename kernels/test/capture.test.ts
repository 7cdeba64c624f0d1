// Captures as a hostile caller sees them: whatever is called in whatever order, nothing crashes, and no replay touches
// memory that someone else has got.
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import {
  assert,
  disposed,
  floats,
  generator,
  native,
  read,
  Refused,
  refused,
  release,
  run,
  test,
  value,
} from './border.js'

const captureCode = 7
const n = 64
const view = (handle: number): { handle: number; shape: number[] } => ({ handle, shape: [n] })
const fresh = { handle: 0, shape: [n] }
const filled = (x: number): number => floats(Array.from({ length: n }, () => x))

const begin = (): void => {
  if (native.beginCapture(1, 2, 100) < 0) throw new Refused(native.lastError())
}
const end = (keep = true): number => {
  const handle = native.endCapture(keep)
  if (handle < 0) throw new Refused(native.lastError())
  return handle
}
const replay = (handle: number, offset = 100): void => {
  if (native.replay(handle, 1, 2, offset) < 0) throw new Refused(native.lastError())
}
const plus = (a: number, b: number): number => run('add', [view(a), view(b)], [fresh], [0, 0])[0]!

test('a capture runs nothing, a replay all of it, on the memory of the recording', () => {
  const before = native.stats()
  const [a, b] = [filled(1), filled(2)]
  begin()
  const sum = plus(a, b)
  const constant = filled(10)
  const total = plus(sum, constant)
  release(constant, sum)
  run('add', [view(a), view(total)], [view(a)], [0, 0])
  const step = end()
  assert.equal(read(a, 1), [1])
  replay(step)
  assert.equal([read(total, 1), read(a, 1)], [[13], [14]])
  replay(step)
  assert.equal([read(total, 1), read(a, 1)], [[26], [40]])
  assert.ok(native.captureBytes(step) >= 2 * 4 * n)
  assert.is(native.stats().capturedBytes - before.capturedBytes, native.captureBytes(step))
  release(step, a, b, total)
  const after = native.stats()
  assert.equal([after.handles, after.liveBytes], [before.handles, before.liveBytes])
})

test('inside a capture nothing is read, waited for, nested or replayed', () => {
  const a = filled(1)
  begin()
  plus(a, a)
  const step = end()
  begin()
  const into = new ArrayBuffer(4)
  const calls = [
    (): number => native.readSync(a, 0, into),
    (): number => native.readAsync(a, 0, into, () => undefined),
    (): number => native.flush(() => undefined),
    (): number => native.sync(),
    (): number => native.beginCapture(0, 0, 0),
    (): number => native.replay(step, 1, 2, 100),
  ]
  for (const call of calls) {
    assert.is(call(), -1)
    assert.is(native.lastError().code, captureCode)
  }
  end(false)
  assert.is(native.endCapture(true), -1)
  assert.is(native.lastError().code, value)
  release(step, a)
})

test('handles of captures are checked as those of storages, and one is not the other', () => {
  const a = filled(1)
  begin()
  const y = plus(a, a)
  const step = end()
  for (const handle of [a, y, 0, -1, NaN, step + 1, step + 2 ** 24, 2 ** 53]) {
    assert.is(refused(() => replay(handle)).code, disposed)
    assert.is(native.captureBytes(handle), -1)
  }
  for (const [lo, hi, offset] of [
    [NaN, 0, 0],
    [-1, 0, 0],
    [0, 2 ** 32, 0],
    [0, 0, 0.5],
    [0, 0, -1],
    [0, 0, 2 ** 54],
  ] as const) {
    assert.is(native.replay(step, lo, hi, offset), -1)
    assert.is(native.lastError().code, value)
    assert.is(native.beginCapture(lo, hi, offset), -1)
  }
  assert.is(refused(() => plus(step, a)).code, disposed)
  assert.is(refused(() => read(step, 0)).code, disposed)
  assert.is(
    refused(() => run('sum', [{ handle: step, shape: [0] }], [{ handle: 0, shape: [1] }])).code,
    disposed,
  )
  assert.is(native.upload(step, 0, new Float32Array(0)), -1)
  // Not yet replayed.
  assert.is(refused(() => read(y, 1)).code, captureCode)
  release(step)
  assert.is(refused(() => replay(step)).code, disposed)
  assert.is(refused(() => read(y, 1)).code, captureCode)
  release(step, a, y)
})

test('memory that the program releases stays with the captures that use it, to the last of them', () => {
  const before = native.stats()
  const a = filled(7)
  begin()
  const y = plus(a, a)
  const first = end()
  begin()
  const z = plus(a, a)
  const second = end()
  release(a)
  assert.is(refused(() => read(a, 1)).code, disposed)
  // The next generation of the handle is nobody's.
  assert.is(refused(() => read(a + 2 ** 24, 1)).code, disposed)
  release(a, a + 2 ** 24)
  const noise = Array.from({ length: 20 }, () => filled(-1))
  replay(first)
  assert.equal(read(y, 1), [14])
  release(first)
  noise.push(...Array.from({ length: 20 }, () => filled(-1)))
  replay(second)
  assert.equal(read(z, 1), [14])
  release(second, y, z, ...noise)
  const after = native.stats()
  assert.equal([after.handles, after.liveBytes], [before.handles, before.liveBytes])
})

test('a capture released while its replays are queued does not disturb them, nor they its successors', () => {
  const a = filled(1)
  native.configure({ inline: 'never', slowMicroseconds: 200, poison: true })
  begin()
  const one = plus(a, a)
  const two = plus(one, one)
  release(one)
  const step = end()
  const results: number[] = []
  for (let i = 0; i < 5; i++) {
    replay(step)
    results.push(run('copy', [view(two)], [fresh])[0]!)
  }
  release(step, two)
  const others = Array.from({ length: 10 }, (_, i) => run('fill', [], [fresh], [i])[0]!)
  for (const r of results)
    assert.equal(
      read(r, n),
      Array.from({ length: n }, () => 4),
    )
  others.forEach((o, i) => assert.equal(read(o, 1), [i]))
  native.configure({ inline: 'auto', slowMicroseconds: 0, poison: false })
  release(a, ...results, ...others)
})

test('draws go on from the state of each replay, and draws out of line are refused', () => {
  const draw = (lo: number, hi: number, offset: number): number =>
    run('uniform', [], [fresh], [lo, hi, offset, 0, 1])[0]!
  const want = [500, 900].map((o) => {
    const pair = [draw(1, 2, o), draw(1, 2, o + 16)]
    const numbers = pair.map((h) => read(h, n))
    release(...pair)
    return numbers
  })
  begin()
  const pair = [draw(1, 2, 100), draw(1, 2, 116)]
  for (const [lo, hi, offset] of [
    [3, 2, 100],
    [1, 3, 100],
    [1, 2, 99],
  ] as const) {
    assert.is(refused(() => draw(lo, hi, offset)).code, captureCode)
  }
  const step = end()
  ;[500, 900].forEach((offset, i) => {
    replay(step, offset)
    assert.equal(
      pair.map((h) => read(h, n)),
      want[i],
    )
  })
  assert.is(refused(() => replay(step, 2 ** 53 - 8)).code, value)
  release(step, ...pair)
})

test('a capture counts against the memory limit, and one that does not fit is refused and undone', () => {
  const before = native.stats()
  native.setMemoryLimit(before.liveBytes + 2 ** 20)
  begin()
  const kept: number[] = []
  const error = refused(() => {
    for (let i = 0; i < 100; i++)
      kept.push(run('fill', [], [{ handle: 0, shape: [2 ** 14] }], [i])[0]!)
  })
  assert.is(error.code, 4)
  assert.ok(kept.length > 5 && kept.length < 17, `${kept.length} of 64 KiB`)
  release(...kept)
  // Freed inside, the blocks serve the same capture again.
  const again = run('fill', [], [{ handle: 0, shape: [2 ** 14] }], [1])
  end(false)
  release(...again)
  native.setMemoryLimit(0)
  const after = native.stats()
  assert.equal(
    [after.handles, after.liveBytes, after.capturedBytes],
    [before.handles, before.liveBytes, before.capturedBytes],
  )
})

test('after a command that failed in a replay the rest of it does not run, and nothing more is taken until the reset', () => {
  const a = filled(1)
  const ids = floats([1e30])
  begin()
  const y = run(
    'embedding',
    [
      { handle: a, shape: [8, 8] },
      { handle: ids, shape: [1], dtype: 4 },
    ],
    [{ handle: 0, shape: [1, 8] }],
  )[0]!
  run('add', [view(a), view(a)], [view(a)], [0, 0])
  const step = end()
  replay(step)
  assert.is(native.sync(), -1)
  assert.is(native.lastError().op, 'embedding')
  assert.is(native.replay(step, 1, 2, 100), -1)
  assert.is(native.beginCapture(1, 2, 100), -1)
  native.resetError()
  // What came after the failed command did not run.
  assert.equal(read(a, 1), [1])
  release(step, a, ids, y)
})

test('random sequences of calls: captures agree with the same commands run at once', () => {
  for (const mode of ['auto', 'never'] as const) {
    native.configure({ inline: mode, poison: mode === 'never' })
    const before = native.stats()
    const random = generator(mode === 'auto' ? 5 : 6)
    const int = (k: number): number => Math.floor(random() * k)
    interface Live {
      handle: number
      /** What it must hold; undefined while a capture owes the value. */
      value: number | undefined
    }
    interface Recorded {
      handle: number
      /** In terms of the models of the storages it was recorded on. */
      program: (() => void)[]
    }
    const live: Live[] = []
    const captures: Recorded[] = []
    const pick = (): Live | undefined => live[int(live.length)]
    let open: (() => void)[] | undefined
    const act = (model: () => void): void => {
      if (open) open.push(model)
      else model()
    }
    /** Whether a command may name it: made outside, or by the capture under way, or by one that has run. */
    const tries = (call: () => number, made: Live, model: () => void): void => {
      try {
        made.handle = call()
      } catch (error) {
        assert.is((error as Refused).info?.code, captureCode)
        return
      }
      live.push(made)
      act(model)
    }
    for (let i = 0; i < 3000; i++) {
      const what = int(12)
      if (what <= 1) {
        const x = int(1000)
        const made: Live = { handle: filled(x), value: undefined }
        live.push(made)
        act(() => (made.value = x))
      } else if (what <= 5) {
        const [p, q] = [pick(), pick()]
        if (!p || !q) continue
        const made: Live = { handle: 0, value: undefined }
        tries(
          () => plus(p.handle, q.handle),
          made,
          () => (made.value = Math.fround(p.value! + q.value!)),
        )
      } else if (what === 6) {
        const p = pick()
        if (!p) continue
        try {
          run('fill', [], [view(p.handle)], [i])
        } catch (error) {
          assert.is((error as Refused).info.code, captureCode)
          continue
        }
        act(() => (p.value = i))
      } else if (what === 7 && live.length > 0) {
        release(live.splice(int(live.length), 1)[0]!.handle)
      } else if (what === 8) {
        if (!open) {
          begin()
          open = []
        } else {
          const keep = int(5) > 0
          const handle = end(keep)
          if (keep) captures.push({ handle, program: open })
          open = undefined
        }
      } else if (what === 9 && captures.length > 0) {
        const c = captures[int(captures.length)]!
        if (open) assert.is(refused(() => replay(c.handle)).code, captureCode)
        else {
          replay(c.handle)
          for (const step of c.program) step()
        }
      } else if (what === 10 && captures.length > 3) {
        release(captures.splice(int(captures.length), 1)[0]!.handle)
      } else if (what === 11 && !open) {
        const p = pick()
        if (!p) continue
        if (p.value === undefined) assert.is(refused(() => read(p.handle, n)).code, captureCode)
        else
          assert.equal(
            read(p.handle, n),
            Array.from({ length: n }, () => p.value),
          )
      }
      while (live.length > 60) release(live.shift()!.handle)
    }
    if (open) end(false)
    native.sync()
    native.resetError()
    release(...live.map((t) => t.handle), ...captures.map((c) => c.handle))
    const after = native.stats()
    assert.equal(
      [after.handles, after.liveBytes, after.capturedBytes],
      [before.handles, before.liveBytes, before.capturedBytes],
    )
    native.configure({ inline: 'auto', poison: false })
  }
})

test('a worker that ends in the middle of a capture or of replays leaves the process whole', async () => {
  const addon = createRequire(import.meta.url).resolve('@shakti/kernels')
  const head = `
    const { parentPort } = require('node:worker_threads')
    const native = require(${JSON.stringify(addon)})
    const b = new Float64Array(65536)
    native.init(b.buffer)
    const op = native.opNames().indexOf('neg')
    const neg = (h) => { b.set([op, 1, 1, 0, h, 0, 0, 1, 65536, 1, 0, 0, 0, 1, 65536, 1]); if (native.submit(16) < 0) throw new Error(native.lastError().message); return b[10] }
    const a = native.alloc(262144)
    native.beginCapture(0, 0, 0)
    let h = a
    for (let i = 0; i < 50; i++) h = neg(h)
    parentPort.postMessage('running');`
  const ends = [
    'setInterval(() => {}, 1000)',
    'const c = native.endCapture(true); for (;;) native.replay(c, 0, 0, 0)',
    'const c = native.endCapture(true); native.configure({ slowMicroseconds: 1000 }); for (let i = 0; i < 50; i++) native.replay(c, 0, 0, 0); native.sync()',
    'const c = native.endCapture(true); for (let i = 0; i < 50; i++) native.replay(c, 0, 0, 0); process.exit(0)',
  ]
  for (const code of ends) {
    const w = new Worker(head + code, { eval: true })
    await once(w, 'message')
    for (let i = 0; i < 20; i++) await turn()
    await w.terminate()
  }
  const a = floats([1])
  assert.equal(read(a, 1), [1])
  release(a)
})

test.run()
