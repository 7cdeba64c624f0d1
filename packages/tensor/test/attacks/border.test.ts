// The native border under hostile calls: whatever JavaScript passes, the answer is an error, not a crash. A crash would
// end this process, and the runner names the file.
import { createRequire } from 'node:module'
import type { NativeModule } from '@shakti/kernels'
import { commands } from '../../src/native/commands.gen.js'
import { assert, test } from '../assert.js'

const native = createRequire(import.meta.url)('@shakti/kernels') as NativeModule
const buffer = new Float64Array(65536)
native.init(buffer.buffer)
const ops = native.opNames()
const code = (name: string): number => ops.indexOf(name)

/** Writes a record and submits it. */
function submit(...record: number[]): number {
  buffer.set(record)
  return native.submit(record.length)
}
const operand = (
  handle: number,
  dtype: number,
  offset: number,
  shape: number[],
  strides: number[],
): number[] => [handle, dtype, offset, shape.length, ...shape, ...strides]
const fresh = (dtype: number, shape: number[]): number[] => {
  const strides: number[] = []
  let step = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    strides.unshift(step)
    step *= shape[i]!
  }
  return operand(0, dtype, 0, shape, strides)
}
const a = native.alloc(64)

function refused(...record: number[]): void {
  const before = native.stats()
  const result = submit(...record)
  assert.ok(result < 0, `accepted: ${record.join(' ')}`)
  assert.ok(native.lastError().message.length > 0)
  assert.is(native.stats().handles, before.handles, 'a refused command leaves no memory behind')
}

test('a right command passes, so that the refusals below mean something', () => {
  assert.is(submit(code('neg'), 1, 1, 0, ...operand(a, 0, 0, [16], [1]), ...fresh(0, [16])), 0)
  assert.is(native.sync(), 0)
})

test('numbers that are no counts, codes or handles are refused', () => {
  for (const bad of [-1, 0.5, NaN, Infinity, -Infinity, 1e300, 2 ** 53, 999]) {
    refused(bad, 1, 1, 0, ...operand(a, 0, 0, [16], [1]), ...fresh(0, [16]))
    refused(code('neg'), bad, 1, 0, ...operand(a, 0, 0, [16], [1]), ...fresh(0, [16]))
    refused(code('neg'), 1, bad, 0, ...operand(a, 0, 0, [16], [1]), ...fresh(0, [16]))
    refused(code('neg'), 1, 1, bad, ...operand(a, 0, 0, [16], [1]), ...fresh(0, [16]))
    refused(code('neg'), 1, 1, 0, ...operand(bad, 0, 0, [16], [1]), ...fresh(0, [16]))
    refused(code('neg'), 1, 1, 0, ...operand(a, bad, 0, [16], [1]), ...fresh(0, [16]))
    refused(code('neg'), 1, 1, 0, ...operand(a, 0, bad, [16], [1]), ...fresh(0, [16]))
    refused(code('neg'), 1, 1, 0, a, 0, 0, bad, 16, 1, ...fresh(0, [16]))
    refused(code('neg'), 1, 1, 0, ...operand(a, 0, 0, [bad], [1]), ...fresh(0, [16]))
    if (bad !== -1)
      refused(code('neg'), 1, 1, 0, ...operand(a, 0, 0, [16], [bad]), ...fresh(0, [16]))
  }
})

test('views that reach outside of their memory are refused, also by overflow', () => {
  refused(code('neg'), 1, 1, 0, ...operand(a, 0, 0, [17], [1]), ...fresh(0, [17]))
  refused(code('neg'), 1, 1, 0, ...operand(a, 0, 1, [16], [1]), ...fresh(0, [16]))
  refused(code('neg'), 1, 1, 0, ...operand(a, 0, 0, [16], [2]), ...fresh(0, [16]))
  refused(code('neg'), 1, 1, 0, ...operand(a, 0, 0, [16], [-1]), ...fresh(0, [16]))
  refused(code('neg'), 1, 1, 0, ...operand(a, 3, 0, [16], [1]), ...fresh(3, [16]))
  refused(code('neg'), 1, 1, 0, ...operand(a, 0, 0, [2, 2], [2 ** 52, 1]), ...fresh(0, [2, 2]))
  refused(
    code('neg'),
    1,
    1,
    0,
    ...operand(a, 0, 0, [2 ** 32, 2 ** 32], [0, 0]),
    ...fresh(0, [2 ** 32, 2 ** 32]),
  )
  refused(
    code('neg'),
    1,
    1,
    0,
    ...operand(a, 0, 0, [2 ** 21, 2 ** 21, 2 ** 21], [0, 0, 0]),
    ...fresh(0, [2 ** 21, 2 ** 21, 2 ** 21]),
  )
})

test('outputs that share elements with themselves or are not there are refused', () => {
  refused(code('neg'), 1, 1, 0, ...operand(a, 0, 0, [4], [1]), ...operand(a, 0, 0, [4], [0]))
  refused(code('neg'), 1, 1, 0, ...operand(a, 0, 0, [4], [1]), ...operand(0, 0, 0, [4], [2]))
  refused(code('neg'), 1, 1, 0, ...operand(a, 0, 0, [4], [1]), ...operand(0, 0, 3, [4], [1]))
  refused(code('neg'), 1, 1, 0, 0, -1, 0, 0, ...fresh(0, [4]))
})

test('a record cut anywhere, or longer than it says, is refused', () => {
  const record = [
    code('add'),
    2,
    1,
    2,
    ...operand(a, 0, 0, [4], [1]),
    ...operand(a, 0, 0, [4], [1]),
    ...fresh(0, [4]),
    0,
    0,
  ]
  for (let n = 0; n < record.length; n++) {
    buffer.set(record)
    assert.ok(native.submit(n) < 0, `accepted the first ${n} of ${record.length}`)
  }
  for (const n of [record.length + 1, 65537, 2 ** 40, -1, NaN, 1.5]) {
    buffer.set(record)
    assert.ok(native.submit(n) < 0, `accepted a length of ${n}`)
  }
})

test('handles that were released are stale for ever, and releasing twice is harmless', () => {
  const h = native.alloc(64)
  buffer[0] = h
  native.release(1)
  native.release(1)
  const again = native.alloc(64)
  assert.is.not(again, h)
  refused(code('neg'), 1, 1, 0, ...operand(h, 0, 0, [4], [1]), ...fresh(0, [4]))
  assert.ok(native.readSync(h, 0, new ArrayBuffer(4)) < 0)
  assert.ok(native.upload(h, 0, new Float32Array(1)) < 0)
  for (const bad of [NaN, -1, 0, 2 ** 60, 0.1, again + 1]) {
    buffer[0] = bad
    native.release(1)
  }
  buffer[0] = again
  native.release(1)
})

test('reads and uploads outside of the memory are refused', () => {
  for (const [offset, bytes] of [
    [0, 65],
    [64, 1],
    [2 ** 53, 1],
    [-1, 1],
    [NaN, 1],
    [0.5, 1],
    [2 ** 63, 8],
  ] as const) {
    assert.ok(native.readSync(a, offset, new ArrayBuffer(bytes)) < 0, `read ${bytes} at ${offset}`)
    assert.ok(native.upload(a, offset, new Uint8Array(bytes)) < 0, `upload ${bytes} at ${offset}`)
    assert.ok(native.readAsync(a, offset, new ArrayBuffer(bytes), () => undefined) < 0)
  }
  assert.ok(native.alloc(-1) < 0)
  assert.ok(native.alloc(NaN) < 0)
  assert.ok(native.alloc(2 ** 52) < 0)
  assert.ok(native.mapFile('/no/such/file', 0, 8) < 0)
  assert.ok(native.mapFile('/etc/passwd', 0, 2 ** 40) < 0)
  assert.ok(native.mapFile('/etc', 0, 8) < 0)
})

test('arguments of the wrong kind are refused or throw, one function after the other', () => {
  const kinds: unknown[] = [
    undefined,
    null,
    'x',
    {},
    [],
    () => 0,
    Symbol('s'),
    1n,
    new Float32Array(2),
    NaN,
  ]
  const names = [
    'submit',
    'alloc',
    'upload',
    'readSync',
    'readAsync',
    'mapFile',
    'setMemoryLimit',
    'adjustExternal',
    'guard',
    'configure',
    'flush',
  ] as const
  for (const name of names) {
    const f = native[name] as (...args: unknown[]) => unknown
    for (const x of kinds) {
      for (const args of [
        [x],
        [x, x],
        [x, x, x],
        [x, x, x, x],
        [a, x, x],
        [a, 0, x],
        [a, 0, new ArrayBuffer(4), x],
      ]) {
        try {
          f(...args)
        } catch (error) {
          assert.instance(error, Error)
        }
      }
    }
  }
  native.setMemoryLimit(0)
})

test('detached and shrunken targets of a read are refused', () => {
  const gone = new ArrayBuffer(8)
  structuredClone(gone, { transfer: [gone] })
  native.readSync(a, 0, gone)
  const later = new ArrayBuffer(64)
  native.readAsync(a, 0, later, () => undefined)
  structuredClone(later, { transfer: [later] })
  native.sync()
})

test('random records never crash, half of them nearly right', () => {
  let seed = 12345
  const random = (): number => (seed = (seed * 1103515245 + 12345) % 2 ** 31) / 2 ** 31
  const below = (n: number): number => Math.floor(random() * n)
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!
  const wild = (): number => pick([0, 1, 2, 3, 4, 8, -1, a, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, NaN])
  const b = native.alloc(4096)
  const signatures = Object.values(commands).map((c) => ({
    ...c,
    inputs: c.inputs as readonly string[],
  }))
  const record = (): number[] => {
    const op = pick(signatures)
    const right = random() < 0.8
    const [nIn, nOut] = right ? [op.inputs.length, op.outputs.length] : [below(4), below(3)]
    const attrs = right
      ? op.attrs.map(() => pick([0, 1, 1, 2, 3]))
      : Array.from({ length: below(4) }, wild)
    const dtype = pick([0, 0, 1, 3, 4, 7])
    const shape = Array.from({ length: below(5) }, () => pick([0, 1, 2, 2, 3, 4]))
    const out = [op.code, nIn, nOut, attrs.length]
    for (let k = 0; k < nIn + nOut; k++) {
      const s = random() < 0.8 ? shape : shape.slice(0, -1)
      const d = random() < 0.85 ? dtype : pick([0, 4, 7])
      const strides =
        random() < 0.8 ? fresh(d, s).slice(4 + s.length) : s.map(() => pick([0, 1, 2, 4, -1]))
      if (k < nIn)
        out.push(...(random() < 0.1 ? [0, -1, 0, 0] : operand(b, d, pick([0, 0, 1]), s, strides)))
      else out.push(...(random() < 0.7 ? fresh(d, s) : operand(b, d, 0, s, strides)))
    }
    out.push(...attrs)
    if (random() < 0.2) out[below(out.length)] = wild()
    return out
  }
  let accepted = 0
  for (let i = 0; i < 60_000; i++) {
    const r = record()
    buffer.set(r)
    if (native.submit(r.length) === 0) {
      accepted++
      // New outputs are released again, wherever they were written.
      const made: number[] = []
      for (let at = 4, k = 0; k < r[1]! + r[2]!; k++, at += 4 + 2 * r[at + 3]!) {
        if (k >= r[1]! && r[at] === 0 && buffer[at] !== 0) made.push(buffer[at]!)
      }
      buffer.set(made)
      native.release(made.length)
    }
    if (i % 20 === 0 && native.sync() < 0) native.resetError()
  }
  native.sync()
  native.resetError()
  assert.ok(accepted > 1000, `${accepted} of the records were commands`)
})

test('a command buffer that JavaScript gives away is noticed', () => {
  const taken = structuredClone(buffer.buffer, { transfer: [buffer.buffer] })
  assert.is(taken.byteLength, 65536 * 8)
  assert.ok(native.submit(8) < 0)
  native.release(4)
  ;(globalThis as { gc?: () => void }).gc?.()
  assert.ok(native.submit(8) < 0)
})

test.run()
