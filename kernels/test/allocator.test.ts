// Memory: who owns it, when it is reused, what happens when there is none.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  assert,
  disposed,
  floats,
  generator,
  native,
  outOfMemory,
  read,
  Refused,
  refused,
  release,
  run,
  shape,
  test,
  value,
} from './border.js'

const gc = (globalThis as { gc?: () => void }).gc!

test('blocks of random sizes never share memory, through 20,000 allocations and releases', () => {
  const random = generator(3)
  const before = native.stats()
  const live = new Map<number, { bytes: number; mark: number }>()
  const check = (handle: number): void => {
    const { bytes, mark } = live.get(handle)!
    if (bytes === 0) return
    const first = new Uint8Array(1)
    const last = new Uint8Array(1)
    native.readSync(handle, 0, first.buffer)
    native.readSync(handle, bytes - 1, last.buffer)
    assert.equal([first[0], last[0]], [mark, mark])
  }
  let sum = 0
  for (let k = 0; k < 20_000; k++) {
    if (live.size < 200 && random() < 0.6) {
      const bytes = Math.floor(2 ** (random() * 17)) - 1
      const handle = native.alloc(bytes)
      const mark = k % 251
      native.upload(handle, 0, new Uint8Array(bytes).fill(mark))
      assert.ok(!live.has(handle))
      live.set(handle, { bytes, mark })
      sum += bytes
    } else if (live.size > 0) {
      const handle = [...live.keys()][Math.floor(random() * live.size)]!
      check(handle)
      sum -= live.get(handle)!.bytes
      live.delete(handle)
      release(handle)
    }
  }
  const stats = native.stats()
  assert.is(stats.handles - before.handles, live.size)
  const held = stats.liveBytes - before.liveBytes
  assert.ok(held >= sum && held <= sum * 1.25 + 64 * live.size, `${held} for ${sum}`)
  for (const handle of live.keys()) check(handle)
  release(...live.keys())
  assert.is(native.stats().liveBytes, before.liveBytes)
})

test('a loop that repeats finds its blocks again', () => {
  const sizes = [64, 1000, 4096, 300_000, 1_500_000, 5_000_000]
  const step = (): void => release(...sizes.map((n) => native.alloc(n)))
  step()
  const { reservedBytes, cachedBytes } = native.stats()
  for (let i = 0; i < 1000; i++) step()
  assert.is(native.stats().reservedBytes, reservedBytes)
  assert.is(native.stats().cachedBytes, cachedBytes)
})

test('clearCache gives back to the system what nothing uses, small blocks too', () => {
  const many = Array.from({ length: 20_000 }, () => native.alloc(2000))
  const kept = many.filter((_, i) => i % 9000 === 0)
  for (const handle of kept) native.upload(handle, 0, new Uint8Array(2000).fill(7))
  const full = native.stats().reservedBytes
  release(...many.filter((_, i) => i % 9000 !== 0))
  native.clearCache()
  const { reservedBytes, cachedBytes } = native.stats()
  assert.ok(reservedBytes < full - 10_000_000, `${full} to ${reservedBytes}`)
  const { liveBytes, fragmentedBytes } = native.stats()
  assert.is(reservedBytes, liveBytes + fragmentedBytes)
  assert.ok(cachedBytes < 40_000_000)
  const again = Array.from({ length: 20_000 }, () => native.alloc(2000))
  for (const handle of again) native.upload(handle, 0, new Uint8Array(2000))
  const bytes = new Uint8Array(2000)
  for (const handle of kept) {
    native.readSync(handle, 0, bytes.buffer)
    assert.ok(bytes.every((x) => x === 7))
  }
  release(...kept, ...again)
  native.clearCache()
})

test('clearCache gives large blocks back to the system', () => {
  const before = native.stats().reservedBytes
  release(native.alloc(50_000_000))
  assert.ok(native.stats().reservedBytes > before)
  native.clearCache()
  assert.ok(native.stats().reservedBytes <= before)
  assert.ok(native.stats().peakBytes >= 50_000_000)
})

test('a freed block is filled with a pattern when asked, so that a stale reader shows', () => {
  native.configure({ poison: true })
  release(floats([1, 2, 3, 4]))
  native.configure({ poison: false })
  const again = native.alloc(16)
  const bytes = new Uint8Array(16)
  native.readSync(again, 0, bytes.buffer)
  assert.equal(
    [...bytes],
    Array.from({ length: 16 }, () => 0xdb),
  )
  release(again)
})

test('beyond the limit a command is refused in the caller, saying what was asked and what is live', () => {
  const a = floats(Array.from({ length: 1000 }, () => 1))
  const before = native.stats()
  native.setMemoryLimit(before.liveBytes + 2 ** 20)
  const error = refused(() => run('fill', [], [{ handle: 0, shape: [2 ** 20] }], [0]))
  assert.is(error.code, outOfMemory)
  assert.is(error.op, 'fill')
  assert.is(error.late, false)
  assert.match(error.message, /asked for 4\.0 MiB; live .* limit /)
  // The first output fits, the second does not: neither stays.
  const x = { handle: a, shape: [500, 2], strides: [0, 1] }
  native.setMemoryLimit(native.stats().liveBytes + 3000)
  refused(() =>
    run(
      'max_index',
      [x],
      [
        { handle: 0, shape: [500, 1] },
        { handle: 0, shape: [500, 1], dtype: 4 },
      ],
    ),
  )
  assert.is(native.stats().handles, before.handles)
  assert.is(native.stats().liveBytes, before.liveBytes)
  native.setMemoryLimit(0)
  const [v, i] = run(
    'max_index',
    [x],
    [
      { handle: 0, shape: [500, 1] },
      { handle: 0, shape: [500, 1], dtype: 4 },
    ],
  )
  assert.equal(read(v!, 2), [1, 1])
  release(a, v!, i!)
})

test('what no system can give is refused naming the op and the bytes, without a limit too', () => {
  native.setMemoryLimit(0)
  const before = native.stats()
  const error = refused(() => run('fill', [], [{ handle: 0, shape: [2 ** 45] }], [0]))
  assert.equal([error.code, error.op], [outOfMemory, 'fill'])
  assert.match(error.message, /asked for 131072\.00 GiB/)
  const after = native.stats()
  assert.equal([after.handles, after.liveBytes], [before.handles, before.liveBytes])
  const [y] = run('fill', [], [{ handle: 0, shape: [2] }], [3])
  assert.equal(read(y!, 2), [3, 3])
  release(y!)
})

test('a guarded owner that is collected gives its memory back, once', () => {
  const before = native.stats().handles
  const owners: object[] = []
  // Made in a function of its own, so that no register of this one keeps an owner.
  const handles = Array.from({ length: 100 }, (_, i) => {
    const handle = native.alloc(1024)
    const owner = {}
    native.guard(owner, handle, 1024)
    if (i < 10) owners.push(owner)
    return handle
  })
  gc()
  // Released by hand first: the guard then meets a stale handle.
  release(handles[5]!)
  assert.is(native.stats().handles, before + owners.length - 1)
  assert.is(refused(() => read(handles[60]!, 1)).code, disposed)
  owners.length = 0
  gc()
  assert.is(native.stats().handles, before)
})

test('when memory is short, owners that nobody holds are collected before a command is refused', () => {
  const before = native.stats()
  native.setMemoryLimit(before.liveBytes + 64 * 2 ** 20)
  const drop = (i: number): void => {
    const [y] = run('fill', [], [{ handle: 0, shape: [2 ** 20] }], [i])
    // V8 is told nothing of the size, so that only the shortage makes it look.
    native.guard({}, y!, 0)
  }
  for (let i = 0; i < 500; i++) drop(i)
  gc()
  native.setMemoryLimit(0)
  assert.is(native.stats().handles, before.handles)
})

test('a synchronous loop that drops its tensors is collected by V8 because it knows their size', () => {
  const before = native.stats().liveBytes
  let most = 0
  for (let i = 0; i < 2000; i++) {
    native.guard({}, native.alloc(2 ** 20), 2 ** 20)
    most = Math.max(most, native.stats().liveBytes - before)
  }
  assert.ok(most < 1000 * 2 ** 20, `${most / 2 ** 20} MiB`)
})

test('a mapped file is read and written as memory, and the file stays as it is', () => {
  const dir = mkdtempSync(join(tmpdir(), 'shakti-'))
  const file = join(dir, 'numbers')
  const data = new Float32Array(3000).map((_, i) => i)
  writeFileSync(file, data)
  const handle = native.mapFile(file, 4 * 1000, 4 * 2000)
  assert.equal(read(handle, 3), [1000, 1001, 1002])
  const view = { handle, shape: [2000] }
  run('add', [view, view], [view], [0, 0])
  const again = native.mapFile(file, 4 * 1000, 4 * 2000)
  assert.equal(read(handle, 2), [2000, 2002])
  assert.equal(read(again, 2), [1000, 1001])
  // Released while its reader waits in the stream.
  native.configure({ inline: 'never', slowMicroseconds: 2000 })
  const [copy] = run('copy', [{ handle: again, shape: [2000] }], [{ handle: 0, shape: [2000] }])
  release(handle, again)
  native.configure({ inline: 'auto', slowMicroseconds: 0 })
  assert.equal(read(copy!, 2), [1000, 1001])
  release(copy!)
  rmSync(dir, { recursive: true })
})

test('a file that cannot be mapped is an error that says why, and a pipe does not hang', () => {
  const dir = mkdtempSync(join(tmpdir(), 'shakti-'))
  const file = join(dir, 'short')
  const pipe = join(dir, 'pipe')
  writeFileSync(file, 'ten bytes!')
  execFileSync('mkfifo', [pipe])
  const map = (path: string, offset: number, bytes: number): number => {
    const handle = native.mapFile(path, offset, bytes)
    if (handle < 0) throw new Refused(native.lastError())
    return handle
  }
  assert.match(refused(() => map(join(dir, 'none'), 0, 1)).message, /none: No such file/)
  assert.match(refused(() => map(file, 4, 7)).message, /has 10 bytes, wanted 7 from 4/)
  refused(() => map(pipe, 0, 1))
  refused(() => map(dir, 0, 1))
  refused(() => map(`${file}\0x`, 0, 1))
  for (const n of [NaN, -1, 0.5, 2 ** 53, Infinity]) {
    assert.is(refused(() => map(file, n, 4)).code, value)
    const { code } = refused(() => map(file, 0, n))
    assert.ok(code === value || code === shape)
  }
  release(map(file, 10, 0))
  rmSync(dir, { recursive: true })
})

test.run()
