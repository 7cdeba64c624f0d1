import { execFileSync, spawn } from 'node:child_process'
import {
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
  closeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  AutogradError,
  DeviceError,
  DTypeError,
  FileFormatError,
  ShaktiError,
  ShapeError,
  arange,
  dtypes,
  loadNpy,
  loadSafetensors,
  manualSeed,
  memory,
  randn,
  readSafetensorsHeader,
  saveNpy,
  saveSafetensors,
  tensor,
  tidy,
  zeros,
  type Tensor,
} from '@shakti/tensor'
import { assert, assertClose, assertRejects, assertThrows, counts, test } from './assert.js'

const folder = mkdtempSync(join(tmpdir(), 'shakti-io-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => join(folder, name)
/** A program in TypeScript, run beside this test with the same conditions. */
const program = (name: string, text: string): string[] => {
  const path = fileURLToPath(new URL(`../.cache/${name}-${process.pid}.ts`, import.meta.url))
  execFileSync('mkdir', ['-p', fileURLToPath(new URL('../.cache', import.meta.url))])
  writeFileSync(path, text)
  process.on('exit', () => rmSync(path, { force: true }))
  return ['--import', 'tsx', '--conditions=@shakti/source', path]
}

function same(got: Tensor, want: Tensor): void {
  assert.is(got.dtype, want.dtype)
  assert.equal(got.shape, want.shape)
  assert.equal(got.dataSync(), want.dataSync())
}

test('every dtype comes back bit for bit, with shapes and metadata', async () => {
  manualSeed(1)
  const x = randn([3, 5]).mul(50)
  const saved: Record<string, Tensor> = {}
  for (const d of dtypes)
    saved[`layer.${d}`] = d === 'bool' ? x.gt(0) : d === 'u8' ? x.abs().to(d) : x.to(d)
  saved['scalar'] = tensor(3.5)
  saved['empty'] = zeros([0, 4])
  saved['名前'] = tensor([1, 2])
  await saveSafetensors(at('all.safetensors'), saved, { format: 'pt', note: 'é "quoted"\n' })
  const { tensors, metadata } = loadSafetensors(at('all.safetensors'))
  assert.equal(Object.keys(tensors).sort(), Object.keys(saved).sort())
  for (const [name, t] of Object.entries(saved)) same(tensors[name]!, t)
  assert.equal(metadata, { format: 'pt', note: 'é "quoted"\n' })
})

test('the bytes are those of the reference writer: wide types first, then names, padded to a cache line', async () => {
  const path = at('bytes.safetensors')
  await saveSafetensors(path, {
    b: tensor([1, 2]),
    a: tensor([3]),
    u: tensor([true]),
    d: tensor([1], { dtype: 'f64' }),
  })
  const raw = readFileSync(path)
  const length = Number(raw.readBigUInt64LE(0))
  assert.is((8 + length) % 64, 0)
  assert.is(
    raw
      .subarray(8, 8 + length)
      .toString()
      .trimEnd(),
    '{"d":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},' +
      '"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]},"u":{"dtype":"BOOL","shape":[1],"data_offsets":[20,21]}}',
  )
  assert.is(raw.length, 8 + length + 21)
  assert.is(raw.readFloatLE(8 + length + 16), 2)
})

test('views are written as they are seen', async () => {
  const x = arange(24).reshape([4, 6])
  const views = {
    t: x.mT(),
    part: x.slice([1, 3], [0, 6, 2]),
    wide: x.narrow(0, 0, 1).expand([3, 6]),
    row: x.select(0, 2),
  }
  await saveSafetensors(at('views.safetensors'), views)
  const { tensors } = loadSafetensors(at('views.safetensors'))
  for (const [name, t] of Object.entries(views)) same(tensors[name]!, t)
})

test('large tensors are written in pieces and mapped: writing into one changes neither the file nor another load', async () => {
  const path = at('large.safetensors')
  const x = randn([3_000_000])
  await saveSafetensors(path, { x, y: x.narrow(0, 5, 2_500_001) })
  const one = loadSafetensors(path).tensors
  same(one['x']!, x)
  same(one['y']!, x.narrow(0, 5, 2_500_001))
  one['x']!.fill_(7)
  assert.is(one['x']!.narrow(0, 0, 1).itemSync(), 7)
  same(loadSafetensors(path).tensors['x']!, x)
})

test('saving over a file that is mapped keeps what was loaded', async () => {
  const path = at('over.safetensors')
  const x = randn([100_000])
  await saveSafetensors(path, { x })
  const loaded = loadSafetensors(path).tensors['x']!
  await saveSafetensors(path, { x: loaded.mul(2) })
  same(loaded, x)
  same(loadSafetensors(path).tensors['x']!, x.mul(2))
  await saveSafetensors(path, { x: loaded })
  same(loadSafetensors(path).tensors['x']!, x)
})

test('elements that are not aligned in the file are copied and read right', () => {
  for (const shift of [1, 2, 3]) {
    const n = 40_000
    const text = JSON.stringify({
      a: { dtype: 'U8', shape: [shift], data_offsets: [0, shift] },
      w: { dtype: 'F32', shape: [n], data_offsets: [shift, shift + 4 * n] },
    })
    const head = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8))
    const size = Buffer.alloc(8)
    size.writeBigUInt64LE(BigInt(head.length))
    const values = Float32Array.from({ length: n }, (_, i) => i * 0.5)
    writeFileSync(
      at('unaligned.safetensors'),
      Buffer.concat([size, head, Buffer.alloc(shift, 9), Buffer.from(values.buffer)]),
    )
    const { tensors } = loadSafetensors(at('unaligned.safetensors'))
    assert.equal(tensors['w']!.dataSync(), values)
    assert.equal([...tensors['a']!.dataSync()], Array(shift).fill(9))
  }
})

test('a file of more than 2 GiB is mapped; its last elements are where they belong', () => {
  const path = at('big.safetensors')
  const n = 600_000_000
  const text = JSON.stringify({
    big: { dtype: 'F32', shape: [n], data_offsets: [0, 4 * n] },
    tail: { dtype: 'F32', shape: [2], data_offsets: [4 * n, 4 * n + 8] },
  })
  const head = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(head.length))
  // A sparse file: the zeros take no disk and, mapped, no memory.
  writeFileSync(path, Buffer.concat([size, head]))
  const start = 8 + head.length
  truncateSync(path, start + 4 * n + 8)
  const fd = openSync(path, 'r+')
  writeSync(fd, new Uint8Array(Float32Array.of(42, 43, 44).buffer), 0, 12, start + 4 * n - 4)
  closeSync(fd)
  const { tensors } = loadSafetensors(path)
  assert.is(tensors['big']!.numel, n)
  assert.equal([...tensors['big']!.narrow(0, n - 2, 2).dataSync()], [0, 42])
  assert.equal([...tensors['tail']!.dataSync()], [43, 44])
  for (const t of Object.values(tensors)) t.dispose()
  rmSync(path)
})

test('a name can be loaded alone; one that is not there is an error', async () => {
  const path = at('names.safetensors')
  await saveSafetensors(path, { a: tensor([1]), b: tensor([2]) })
  const { tensors } = loadSafetensors(path, { names: ['b'] })
  assert.equal(Object.keys(tensors), ['b'])
  assertThrows(
    () => loadSafetensors(path, { names: ['b', 'toString'] }),
    FileFormatError,
    'toString',
  )
})

test('loading and dropping leaves no memory behind', async () => {
  const path = at('leak.safetensors')
  await saveSafetensors(path, { a: randn([50_000]), b: randn([10]) })
  ;(globalThis as { gc?: () => void }).gc?.()
  const before = counts()
  for (let i = 0; i < 50; i++) tidy(() => void loadSafetensors(path))
  assert.is(memory().tensors, before.tensors)
  assert.is(memory().liveBytes, before.liveBytes)
})

test('what cannot be saved is refused before anything is written', async () => {
  const path = at('refused.safetensors')
  const t = tensor([1])
  await assertRejects(saveSafetensors(path, { __metadata__: t }), FileFormatError, '__metadata__')
  await assertRejects(saveSafetensors(path, { '\ud800': t }), FileFormatError, 'surrogate')
  await assertRejects(saveSafetensors(path, { t }, { n: 1 as never }), FileFormatError, 'n')
  await assertRejects(
    saveSafetensors(path, { t: zeros([2], { device: 'meta' }) }),
    DeviceError,
    'meta',
  )
  await assertRejects(saveSafetensors(at('no/such/folder'), { t }), ShaktiError, 'no/such/folder')
  assert.not(readdirSync(folder).some((f) => f.startsWith('refused')))
})

test('a tensor that is changed while it is saved makes the save fail and leaves the old file', async () => {
  const path = at('changed.safetensors')
  await saveSafetensors(path, { a: tensor([1]) })
  const x = randn([5_000_000])
  const saving = saveSafetensors(path, { a: tensor([1]), x })
  x.fill_(0)
  await assertRejects(saving, AutogradError, 'changed while it was being saved')
  assert.equal(Object.keys(readSafetensorsHeader(path).tensors), ['a'])
  assert.not(readdirSync(folder).some((f) => f.endsWith('.tmp')))
})

test('a tensor that is disposed while it is saved is saved', async () => {
  const path = at('disposed.safetensors')
  const x = randn([3_000_000])
  const want = x.dataSync()
  const saving = saveSafetensors(path, { x })
  x.dispose()
  await saving
  assert.equal(loadSafetensors(path).tensors['x']!.dataSync(), want)
})

test('a source makes its tensor when its turn comes, one at a time, and it is freed once written', async () => {
  const order: string[] = []
  const rows = [
    [0, 1, 2],
    [3, 4, 5],
  ]
  const counted = (dtype: 'f32' | 'i32'): Tensor => tensor(rows, { dtype })
  const before = counts().tensors
  const source = (name: string, dtype: 'f32' | 'i32') => ({
    dtype,
    shape: [2, 3],
    make: async () => {
      assert.is(memory().tensors, before + 1)
      await undefined
      order.push(name)
      return counted(dtype)
    },
  })
  const given = zeros([4], { dtype: 'u8' })
  await saveSafetensors(at('made.safetensors'), {
    b: source('b', 'f32'),
    a: source('a', 'i32'),
    given,
  })
  assert.equal(order, ['a', 'b'])
  assert.is(memory().tensors, before + 1)
  const { tensors } = loadSafetensors(at('made.safetensors'))
  same(tensors['a']!, counted('i32'))
  same(tensors['b']!, counted('f32'))
  same(tensors['given']!, given)
})

test('a source that fails, or makes another tensor than it said, leaves no file; its own error comes out', async () => {
  const path = at('unmade.safetensors')
  const files = readdirSync(folder).length
  const x = { dtype: 'f32', shape: [2] } as const
  const stop = new DOMException('stop', 'AbortError')
  let error: unknown
  await saveSafetensors(path, { x: { ...x, make: () => Promise.reject(stop) } }).catch(
    (e: unknown) => (error = e),
  )
  assert.is(error, stop)
  for (const made of [zeros([3]), zeros([2], { dtype: 'i32' })])
    await assertRejects(
      saveSafetensors(path, { x: { ...x, make: () => made } }),
      ShapeError,
      'x said f32[2]',
    )
  assert.is(readdirSync(folder).length, files)
})

test('a full disk leaves the old file and no temporary one', async () => {
  const path = at('full.safetensors')
  await saveSafetensors(path, { a: tensor([1, 2, 3]) })
  const args = program(
    'full',
    `import { randn, saveSafetensors } from '@shakti/tensor'
     try { await saveSafetensors(${JSON.stringify(path)}, { x: randn([1_000_000]) }); console.log('saved') }
     catch (error) { console.log(error.name + ': ' + error.message) }`,
  )
  // No file may grow beyond 64 KiB: the write ends like one on a full disk.
  const output = execFileSync(
    'bash',
    ['-c', 'ulimit -f 64; exec "$0" "$@"', process.execPath, ...args],
    { encoding: 'utf8' },
  )
  assert.match(output, 'ShaktiError: [saveSafetensors] cannot write')
  assertClose(loadSafetensors(path).tensors['a']!.dataSync(), [1, 2, 3])
  assert.not(readdirSync(folder).some((f) => f.endsWith('.tmp')))
})

test('kill -9 at any moment of a save leaves a file that loads', async () => {
  const path = at('killed.safetensors')
  await saveSafetensors(path, { x: zeros([400_000]), step: tensor([0]) })
  const args = program(
    'kill',
    `import { full, saveSafetensors, tensor } from '@shakti/tensor'
     for (let i = 1; ; i++) {
       await saveSafetensors(${JSON.stringify(path)}, { x: full([400_000], i), step: tensor([i]) })
       console.log(i)
     }`,
  )
  let last = 0
  for (const saves of [1, 2, 4, 7, 11]) {
    // The child saves as fast as it can; it dies after its nth save was announced, in the middle of the next.
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise<void>((resolve) => {
      let lines = 0
      child.stdout.on('data', (chunk: Buffer) => {
        lines += chunk.toString().split('\n').length - 1
        if (lines >= saves) setImmediate(() => child.kill('SIGKILL'))
      })
      child.on('close', () => resolve())
    })
    tidy(() => {
      const { tensors } = loadSafetensors(path)
      const step = tensors['step']!.itemSync()
      assert.ok(step >= 1, `step ${step} was saved`)
      // All of one save, nothing of another.
      assert.is(tensors['x']!.amin().itemSync(), step)
      assert.is(tensors['x']!.amax().itemSync(), step)
      last = step
    })
  }
  assert.ok(last > 0)
})

test('npy: every dtype that NumPy has comes back, also from column-major arrays', async () => {
  const x = randn([3, 4, 5]).mul(9)
  for (const d of dtypes) {
    const t = d === 'bool' ? x.gt(0) : d === 'u8' ? x.abs().to(d) : x.to(d)
    if (d === 'bf16') {
      await assertRejects(saveNpy(at('x.npy'), t), DTypeError, 'bf16')
      continue
    }
    await saveNpy(at('x.npy'), t)
    same(loadNpy(at('x.npy')), t)
  }
  for (const t of [tensor(2), tensor([1, 2]), zeros([0, 3])]) {
    await saveNpy(at('y.npy'), t)
    same(loadNpy(at('y.npy')), t)
  }
  await saveNpy(at('z.npy'), arange(6).reshape([3, 2]))
  const text = readFileSync(at('z.npy'), 'latin1')
  assert.is(readFileSync(at('z.npy')).length, 128 + 24, 'the elements begin at a multiple of 64')
  writeFileSync(
    at('z.npy'),
    text.replace(
      "'fortran_order': False, 'shape': (3, 2)",
      "'fortran_order': True , 'shape': (2, 3)",
    ),
    'latin1',
  )
  assert.equal(loadNpy(at('z.npy')).toArraySync(), [
    [0, 2, 4],
    [1, 3, 5],
  ])
})

test.run()
