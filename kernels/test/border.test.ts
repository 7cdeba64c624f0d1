// No record, handle or buffer that JavaScript can make may crash the process, read or write outside a storage, or
// leave memory behind.
import {
  absent,
  assert,
  b,
  bool,
  disposed,
  f32,
  floats,
  generator,
  i32,
  info,
  ints,
  native,
  read,
  refused,
  release,
  run,
  shape,
  test,
  value,
  write,
} from './border.js'

const nasty = [
  NaN,
  Infinity,
  -Infinity,
  -1,
  -0.5,
  0.5,
  2 ** 24,
  2 ** 31,
  2 ** 53,
  2 ** 53 + 2,
  2 ** 62,
  1e308,
]

test('init tells what the machine can run', () => {
  assert.match(info.abi, /^[0-9a-f]{16}$/)
  assert.ok(info.isas.includes('portable') && info.isas.includes(info.isa))
  assert.ok(info.threads >= 1)
  assert.ok(Array.isArray(info.features))
  assert.is(new Set(native.opNames()).size, native.opNames().length)
})

test('a forged or stale handle is refused as released memory', () => {
  const a = floats([1, 2])
  const view = { shape: [2] }
  const y = { handle: 0, ...view }
  for (const handle of [...nasty, 0, 5, a + 1, a + 2 ** 24, a - 2 ** 24, a * 2]) {
    assert.is(refused(() => run('neg', [{ handle, ...view }], [y])).code, disposed, String(handle))
  }
  for (const handle of [...nasty, a + 1, a + 2 ** 24]) {
    assert.is(
      refused(() => run('neg', [{ handle: a, ...view }], [{ handle, ...view }])).code,
      disposed,
      String(handle),
    )
  }
  release(a)
  assert.is(refused(() => run('neg', [{ handle: a, ...view }], [y])).code, disposed)
  const again = floats([3, 4])
  assert.is(refused(() => read(a, 2)).code, disposed)
  assert.equal(read(again, 2), [3, 4])
  release(again, again, a, ...nasty, 0)
})

test('an unknown opcode is refused', () => {
  for (const code of [...nasty, native.opNames().length]) {
    assert.is(refused(() => run(code, [], [])).code, value, String(code))
  }
})

test('a record cut short or with something behind it is refused, and nothing stays allocated', () => {
  const a = floats([1, 2, 3, 4, 5, 6])
  const before = native.stats().handles
  const operand = { handle: a, shape: [2, 3] }
  const { length } = write('add', [operand, operand], [{ handle: 0, shape: [2, 3] }], [0, 0])
  const record = b.slice(0, length)
  for (let n = 0; n < length; n++) {
    b.fill(0)
    b.set(record)
    assert.is(native.submit(n), -1, `length ${n}`)
  }
  for (const n of [length + 1, 65536, 65537, ...nasty]) {
    b.set(record)
    assert.is(native.submit(n), -1, `length ${n}`)
  }
  assert.is(native.stats().handles, before)
  b.set(record)
  assert.is(native.submit(length), 0)
  release(b[4 + 8 + 8]!, a)
})

test('counts of operands that do not fit the op are refused', () => {
  const a = floats([1])
  const x = { handle: a, shape: [1] }
  const y = { handle: 0, shape: [1] }
  for (const [inputs, outputs, attrs] of [
    [[], [y], [0, 0]],
    [[x, x, x], [y], [0, 0]],
    [[x, x], [], [0, 0]],
    [
      [x, x],
      [y, y],
      [0, 0],
    ],
    [[x, x], [y], [0]],
    [[x, x], [y], [0, 0, 0]],
    [[absent, x], [y], [0, 0]],
    [[x, x], [absent], [0, 0]],
    [[x, x], [y], [0, NaN]],
    [[x, x], [y], [0, 2]],
  ] as const) {
    assert.is(refused(() => run('add', inputs, outputs, attrs)).code, value)
  }
  for (const at of [1, 2, 3]) {
    for (const count of nasty) {
      const { length } = write('add', [x, x], [y], [0, 0])
      b[at] = count
      assert.is(native.submit(length), -1)
    }
  }
  release(a)
})

test('list attributes are bounded by the record', () => {
  const a = floats([1, 2])
  const x = { handle: a, shape: [2] }
  for (const attrs of [
    [0, 1],
    [0, 2, 1],
    [0, 1e6, 1],
    [0, NaN, 1],
    [0, -1],
    [0, 1, 0.5],
    [0, 1, NaN],
    [0],
  ]) {
    refused(() => run('pad', [x], [{ handle: 0, shape: [4] }], attrs))
  }
  const [y] = run('pad', [x], [{ handle: 0, shape: [4] }], [9, 1, 1])
  assert.equal(read(y!, 4), [9, 1, 2, 9])
  release(a, y!)
})

test('a view outside its storage, however large its numbers, is refused', () => {
  const a = floats([1, 2, 3, 4])
  const y = { handle: 0, shape: [2] }
  for (const bad of [
    { shape: [5] },
    { shape: [2], offset: 3 },
    { shape: [2], strides: [4] },
    { shape: [2], offset: 2 ** 52 },
    { shape: [2 ** 53] },
    { shape: [2 ** 32, 2 ** 32] },
    { shape: [2, 2], strides: [2 ** 52, 2 ** 52] },
    { shape: [2 ** 40], strides: [2 ** 40] },
    { shape: [2], strides: [-1], offset: 1 },
    { shape: [-2] },
    { shape: [2.5] },
    { shape: [NaN] },
    { shape: [2], offset: 0.5 },
    { shape: [2], dtype: 3, offset: 1 },
    { shape: [2], dtype: 8 },
    { shape: [1, 1, 1, 1, 1, 1, 1, 1, 2] },
  ]) {
    const { code } = refused(() => run('neg', [{ handle: a, ...bad }], [y]))
    assert.ok(code === shape || code === value, JSON.stringify(bad))
    refused(() => run('neg', [{ handle: a, shape: [2] }], [{ handle: a, ...bad }]))
  }
  assert.equal(read(a, 4), [1, 2, 3, 4])
  release(a)
})

test('new outputs of absurd size are refused before anything is reserved', () => {
  const before = native.stats()
  for (const sizes of [
    [2 ** 45],
    [2 ** 50],
    [2 ** 52],
    [2 ** 26, 2 ** 26],
    [2 ** 30, 2 ** 30, 2 ** 30],
  ]) {
    refused(() => run('fill', [], [{ handle: 0, shape: sizes }], [0]))
  }
  assert.is(native.alloc(2 ** 60), -1)
  for (const bytes of nasty.filter((n) => n > 2 ** 40 || n < 0 || n !== Math.floor(n)))
    assert.is(native.alloc(bytes), -1)
  assert.ok(native.stats().reservedBytes <= before.reservedBytes)
  assert.is(native.stats().handles, before.handles)
})

test('an output may be the very view that an elementwise op reads, and no other overlap', () => {
  const a = floats([1, 2, 3, 4, 5, 6])
  const all = { handle: a, shape: [6] }
  run('add', [all, all], [all], [0, 0])
  assert.equal(read(a, 6), [2, 4, 6, 8, 10, 12])

  const first = { handle: a, shape: [4] }
  const second = { handle: a, shape: [4], offset: 2 }
  assert.is(refused(() => run('copy', [first], [second])).code, shape)
  assert.is(refused(() => run('copy', [second], [first])).code, shape)
  const square = { handle: a, shape: [2, 2] }
  assert.is(
    refused(() =>
      run('matmul', [square, square, absent, absent, absent], [square], [0, 0, 0, 1, 0]),
    ).code,
    shape,
  )
  assert.is(refused(() => run('copy', [square], [{ ...square, strides: [1, 2] }])).code, shape)
  // The elements of an expanded output are one.
  assert.is(
    refused(() => run('fill', [], [{ handle: a, shape: [3, 2], strides: [0, 1] }], [1])).code,
    shape,
  )
  assert.is(
    refused(() => run('fill', [], [{ handle: a, shape: [3, 2], strides: [1, 1] }], [1])).code,
    shape,
  )
  // One column into the other: their bytes lie among each other, but none belongs to both.
  const column = { handle: a, shape: [3], strides: [2] }
  run('copy', [column], [{ ...column, offset: 1 }])
  assert.equal(read(a, 6), [2, 2, 6, 6, 10, 10])
  release(a)
})

test('two outputs cannot be the same memory', () => {
  const a = floats([3, 1, 2])
  const x = { handle: a, shape: [1, 3] }
  const out = floats([0])
  const y = { handle: out, shape: [1, 1] }
  assert.is(refused(() => run('max_index', [x], [y, { ...y, dtype: i32 }])).code, shape)
  release(a, out)
})

test('overlap is decided as a comparison of every address decides it', () => {
  const random = generator(7)
  const int = (n: number): number => Math.floor(random() * n)
  const n = 64
  const a = floats(Array.from({ length: n }, (_, i) => i))
  const places = (sizes: number[], strides: number[], offset: number): Set<number> => {
    const all = new Set<number>()
    for (let i = 0; i < sizes[0]!; i++) {
      for (let j = 0; j < sizes[1]!; j++) all.add(offset + i * strides[0]! + j * strides[1]!)
    }
    return all
  }
  let apart = 0
  for (let k = 0; k < 4000; k++) {
    const sizes = [1 + int(4), 1 + int(4)]
    const views = [0, 1].map(() => {
      const s = 1 + int(3)
      const strides = [s * sizes[1]! + int(3), s]
      return {
        handle: a,
        shape: sizes,
        strides: int(2) ? strides : [strides[1]!, strides[1]! * sizes[0]! + int(2)],
        offset: int(12),
      }
    })
    const [from, to] = views.map((v) => places(sizes, v.strides, v.offset)) as [
      Set<number>,
      Set<number>,
    ]
    if ([...from, ...to].some((p) => p >= n)) continue
    const same =
      views[0]!.offset === views[1]!.offset &&
      views[0]!.strides.every((s, d) => sizes[d] === 1 || s === views[1]!.strides[d])
    const meet = !same && [...from].some((p) => to.has(p))
    if (meet)
      assert.is(
        refused(() => run('copy', [views[0]!], [views[1]!])).code,
        shape,
        JSON.stringify(views),
      )
    else {
      run('copy', [views[0]!], [views[1]!])
      apart++
    }
  }
  assert.ok(apart > 300, String(apart))
  release(a)
})

test('200,000 damaged records neither crash nor leak', () => {
  const random = generator(42)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const a = floats([1, 2, 3, 4, 5, 6])
  const ids = ints([0, 1, 0])
  const flag = native.alloc(6)
  native.upload(flag, 0, new Uint8Array([1, 0, 1, 0, 1, 0]))
  const m = { handle: a, shape: [2, 3] }
  const mt = { handle: a, shape: [3, 2], strides: [1, 3] }
  const out = (...sizes: number[]): { handle: number; shape: number[] } => ({
    handle: 0,
    shape: sizes,
  })
  const good = [
    () => write('add', [m, m], [out(2, 3)], [0, 0]),
    () => write('mul', [m, absent], [m], [1.0, 0]),
    () => write('matmul', [m, mt, absent, absent, absent], [out(2, 2)], [0, 0, 0, 1, 0]),
    () => write('sum', [m], [out(2, 1)]),
    () => write('copy', [mt], [out(3, 2)]),
    () => write('cat', [m, m], [out(4, 3)], [0]),
    () => write('pad', [m], [out(4, 3)], [0, 2, 1, 0]),
    () =>
      write(
        'where',
        [{ handle: flag, shape: [2, 3], dtype: bool }, m, absent],
        [out(2, 3)],
        [0, 7],
      ),
    () => write('max_index', [m], [out(2, 1), { handle: 0, shape: [2, 1], dtype: i32 }]),
    () => write('embedding', [m, { handle: ids, shape: [3], dtype: i32 }], [out(3, 3)]),
    () => write('arange', [], [out(5)], [0, 1]),
  ]
  for (const make of good) {
    const { length, places } = make()
    assert.is(native.submit(length), 0, native.lastError().message)
    for (const p of places) if (b[p] !== a) release(b[p]!)
  }
  // A size may become one that is large and allowed.
  native.setMemoryLimit(2 ** 24)
  const before = native.stats().handles
  const other = [...nasty, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -2, 16, 100, a, ids, flag, f32]
  let taken = 0
  for (let k = 0; k < 200_000; k++) {
    const { length } = pick(good)()
    for (let hits = 1 + Math.floor(random() * 2); hits > 0; hits--)
      b[Math.floor(random() * length)] = pick(other)
    // Where outputs stand can itself be damaged: what is new is found by comparison.
    const record = b.slice(0, length)
    if (native.submit(length) === 0) {
      taken++
      const fresh = [...b.subarray(0, length)].filter(
        (w, i) => w !== record[i] && !(Number.isNaN(w) && Number.isNaN(record[i])),
      )
      release(...fresh)
    } else if (native.lastError().late) native.resetError()
  }
  native.sync()
  native.resetError()
  assert.is(native.stats().handles, before)
  assert.ok(taken > 1000 && taken < 150_000, String(taken))
  native.setMemoryLimit(0)
  release(a, ids, flag)
})

test('buffers that are detached, resizable or no buffers are refused', () => {
  const a = floats([1, 2])
  const gone = new ArrayBuffer(8)
  structuredClone(gone, { transfer: [gone] })
  const Resizable = ArrayBuffer as unknown as new (
    n: number,
    o: { maxByteLength: number },
  ) => ArrayBuffer
  const bad: unknown[] = [
    null,
    undefined,
    3,
    'text',
    {},
    [],
    new Resizable(8, { maxByteLength: 64 }),
  ]
  for (const into of bad) {
    assert.is(native.readSync(a, 0, into as ArrayBuffer), -1)
    assert.is(
      native.readAsync(a, 0, into as ArrayBuffer, () => undefined),
      -1,
    )
    assert.is(native.upload(a, 0, into as ArrayBufferView), -1)
  }
  // A detached buffer has no bytes left, which is what is then copied.
  assert.is(native.readSync(a, 0, gone), 0)
  for (const [handle, offset, bytes] of [
    [a, 4, 8],
    [a, -1, 4],
    [a, 8, 4],
    [a, NaN, 4],
    [a, 2 ** 53, 4],
    [a, 0.5, 4],
    [NaN, 0, 4],
    [0, 0, 0],
  ] as const) {
    assert.is(native.readSync(handle, offset, new ArrayBuffer(bytes)), -1)
    assert.is(native.upload(handle, offset, new Uint8Array(bytes)), -1)
  }
  for (const wrong of [
    null,
    3,
    new ArrayBuffer(100),
    new Resizable(2 ** 20, { maxByteLength: 2 ** 21 }),
  ]) {
    assert.throws(() => native.init(wrong as ArrayBuffer), /512 KiB/)
  }
  release(a)
})

test('arguments of the wrong kind are refused everywhere', () => {
  const any = native as unknown as Record<string, (...args: unknown[]) => unknown>
  const junk: unknown[] = [
    undefined,
    null,
    NaN,
    -1,
    'x',
    {},
    [],
    Symbol('s'),
    () => 1,
    10n,
    2 ** 60,
  ]
  for (const name of [
    'submit',
    'alloc',
    'release',
    'guard',
    'adjustExternal',
    'upload',
    'readSync',
    'readAsync',
    'mapFile',
    'configure',
  ]) {
    for (const x of junk) {
      for (const args of [[], [x], [x, x], [x, x, x], [x, x, x, x]]) {
        try {
          any[name]!(...args)
        } catch (error) {
          assert.instance(error, TypeError)
        }
      }
    }
  }
  const a = floats([1])
  assert.equal(read(a, 1), [1])
  release(a)
})

test.run()
