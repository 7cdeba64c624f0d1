// Hostile safetensors files, each built by code: what is refused, and that the error says where. The names follow the
// tests of the reference reader (safetensors/src/tensor.rs).
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileFormatError, loadSafetensors, memory, readSafetensorsHeader } from '@shakti/tensor'
import { assert, assertThrows, test } from '../assert.js'

const folder = mkdtempSync(join(tmpdir(), 'shakti-attack-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
let files = 0

function file(bytes: Uint8Array): string {
  const path = join(folder, `${files++}.safetensors`)
  writeFileSync(path, bytes)
  return path
}

/** Header length (its true one unless given), header, data. */
function pack(
  header: string | Uint8Array,
  data: Uint8Array = new Uint8Array(0),
  length?: bigint,
): string {
  const head = Buffer.from(header)
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(length ?? BigInt(head.length))
  return file(Buffer.concat([size, head, data]))
}

const entry = (dtype: unknown, shape: unknown, offsets: unknown): object => ({
  dtype,
  shape,
  data_offsets: offsets,
})
const json = (value: unknown, dataBytes: number): string =>
  pack(JSON.stringify(value), new Uint8Array(dataBytes))

/** Both ways in refuse, with an error that names the file and these words. */
function refused(path: string, ...words: string[]): void {
  ;(globalThis as { gc?: () => void }).gc?.()
  const before = memory().liveBytes
  for (const read of [readSafetensorsHeader, loadSafetensors]) {
    const error = assertThrows(() => read(path), FileFormatError, path, ...words)
    assert.is(error.file, path)
  }
  assert.is(memory().liveBytes, before, 'a refused file leaves no memory behind')
}

test('a file shorter than its own length field is refused', () => {
  refused(file(new Uint8Array(0)), 'header length')
  refused(file(new Uint8Array(7)), 'header length', 'at byte 0')
})

test('a header above 100 MB is refused before memory is taken', () => {
  refused(pack('{}', undefined, 100_000_001n), 'limit')
  refused(pack('{}', undefined, 2n ** 64n - 1n), '18446744073709551615')
})

test('a header that reaches past the end of the file is refused', () => {
  refused(pack('{}', undefined, 3n), 'past the end')
})

test('a header of no bytes, or one that does not begin with a brace, is refused', () => {
  refused(pack(''), "'{'")
  refused(pack('[]'), "'{'", 'at byte 8')
  refused(pack(' {}'), "'{'")
  refused(pack('\ufeff{}'), "'{'")
})

test('text that is not JSON is refused with its place', () => {
  refused(pack('{"a":}'), 'not JSON', 'at byte 13')
  refused(pack('{"a":1'), 'not closed')
  refused(pack('{"a"'), 'colon')
  refused(pack('{} {}'), 'follows')
  refused(pack("{'a':1}"), 'string')
  refused(pack('{"a\n":1}'), 'string')
  refused(pack('{"a":01}'), 'header')
  refused(pack('{,}'), 'string')
  refused(pack('{"a":{},}'), 'string')
})

test('bytes that are not UTF-8, and halves of surrogate pairs, are refused', () => {
  refused(pack(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), 'UTF-8')
  refused(pack(Buffer.from('7b22c0af223a317d', 'hex')), 'UTF-8')
  refused(pack('{"\\ud800":1}'), 'surrogate')
})

test('a key that stands twice is refused, on every level', () => {
  const x = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
  refused(pack(`{"x":${x},"x":${x}}`, new Uint8Array(1)), '"x"', 'twice')
  refused(pack(`{"x":${x},"\\u0078":${x}}`, new Uint8Array(1)), 'twice')
  refused(
    pack('{"x":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}}', new Uint8Array(1)),
    '"dtype"',
    'twice',
  )
  refused(pack('{"__metadata__":{"a":"1","a":"2"}}'), '"a"', 'twice')
})

test('deep nesting is refused, not followed', () => {
  refused(pack(`{"a":${'['.repeat(1_000_000)}`), 'nested')
  refused(pack(`{"a":${'{"a":'.repeat(200_000)}`), 'nested')
})

test('huge headers of one token end in an error within the time limit', () => {
  const n = 20_000_000
  refused(pack(`{"${'a'.repeat(n)}`), 'not closed')
  refused(pack(`{"${'\\'.repeat(n)}`), 'not closed')
  refused(pack(`{"a":${'1'.repeat(n)}}`), 'a')
  refused(pack(`{${' '.repeat(n)}`), 'header')
})

test('an entry that is no object, or lacks a field, is refused by its name', () => {
  refused(json({ w: 1 }, 0), 'w', 'object')
  refused(json({ w: null }, 0), 'w', 'object')
  refused(json({ w: { shape: [], data_offsets: [0, 1] } }, 1), 'w.dtype', 'missing')
  refused(json({ w: { dtype: 'U8', data_offsets: [0, 1] } }, 1), 'w.shape', 'missing')
  refused(json({ w: { dtype: 'U8', shape: [1] } }, 1), 'w.data_offsets', 'missing')
})

test('unknown dtypes are refused with the list of known ones', () => {
  refused(json({ w: entry('F8_E4M3', [1], [0, 1]) }, 1), 'w.dtype', 'F8_E4M3', 'BF16')
  refused(json({ w: entry('f32', [1], [0, 4]) }, 4), 'w.dtype')
  refused(json({ w: entry(3, [1], [0, 4]) }, 4), 'w.dtype')
  refused(json({ w: entry('constructor', [1], [0, 4]) }, 4), 'w.dtype')
})

test('sizes and offsets that are not whole numbers below 2^53 are refused', () => {
  for (const shape of [
    '[-1]',
    '[1.0]',
    '[1e0]',
    '["1"]',
    '[null]',
    '[9007199254740992]',
    '[1e400]',
    '[[1]]',
    '1',
    '{}',
  ]) {
    refused(
      pack(`{"w":{"dtype":"U8","shape":${shape},"data_offsets":[0,1]}}`, new Uint8Array(1)),
      'w.shape',
    )
  }
  for (const offsets of [
    '[0]',
    '[0,1,2]',
    '[-1,0]',
    '[0,1.0]',
    '[0,18446744073709551616]',
    '"0"',
    '[]',
  ]) {
    refused(
      pack(`{"w":{"dtype":"U8","shape":[1],"data_offsets":${offsets}}}`, new Uint8Array(1)),
      'w.data_offsets',
    )
  }
})

test('products that overflow are refused, also when a zero would hide them', () => {
  const big = 2 ** 32
  refused(json({ w: entry('F32', [big, big], [0, 4]) }, 4), 'w.shape', 'addressed')
  refused(json({ w: entry('F64', [2 ** 52, 2 ** 52, 0], [0, 0]) }, 0), 'w.shape')
  refused(json({ w: entry('F64', [0, 2 ** 52, 2 ** 52], [0, 0]) }, 0), 'w.shape')
  refused(json({ w: entry('U8', [2 ** 26, 2 ** 26, 2 ** 26], [0, 0]) }, 0), 'w.shape')
})

test('more dimensions than a tensor can have are refused', () => {
  refused(json({ w: entry('U8', Array(9).fill(1), [0, 1]) }, 1), 'w.shape', 'dimensions')
  refused(json({ w: entry('U8', Array(100_000).fill(1), [0, 1]) }, 1), 'w.shape')
})

test('a byte count that does not fit shape and dtype is refused', () => {
  refused(json({ w: entry('F32', [2], [0, 4]) }, 4), 'w.data_offsets', 'needs 8')
  refused(json({ w: entry('F32', [1], [0, 8]) }, 8), 'w.data_offsets', 'needs 4')
  refused(json({ w: entry('F32', [], [0, 8]) }, 8), 'needs 4')
})

test('offsets outside of the data, or in the wrong order, are refused', () => {
  refused(json({ w: entry('U8', [4], [0, 4]) }, 3), 'outside')
  refused(json({ w: entry('U8', [0], [5, 5]) }, 3), 'outside')
  refused(json({ w: entry('U8', [1], [2, 1]) }, 3), 'outside')
  refused(json({ w: entry('U8', [2 ** 40], [0, 2 ** 40]) }, 3), 'outside')
})

test('tensors that share bytes are refused', () => {
  refused(json({ a: entry('U8', [4], [0, 4]), b: entry('U8', [4], [2, 6]) }, 6), 'overlaps')
  refused(json({ a: entry('U8', [4], [0, 4]), b: entry('U8', [4], [0, 4]) }, 4), 'overlaps')
  refused(json({ a: entry('U8', [6], [0, 6]), b: entry('U8', [2], [2, 4]) }, 6), 'overlaps')
})

test('bytes that belong to no tensor are refused, at the start, between and at the end', () => {
  refused(json({ a: entry('U8', [2], [1, 3]) }, 3), 'hole')
  refused(json({ a: entry('U8', [2], [0, 2]), b: entry('U8', [1], [3, 4]) }, 4), 'hole')
  refused(json({ a: entry('U8', [2], [0, 2]) }, 3), 'belong to no tensor')
  refused(json({}, 1), 'belong to no tensor')
})

test('metadata that is not strings is refused', () => {
  refused(json({ __metadata__: { a: 1 } }, 0), '__metadata__.a')
  refused(json({ __metadata__: ['a'] }, 0), '__metadata__')
  refused(json({ __metadata__: { a: { b: 'c' } } }, 0), '__metadata__.a')
})

test('a bool that is neither 0 nor 1 is refused when it is loaded', () => {
  const path = pack(JSON.stringify({ m: entry('BOOL', [3], [0, 3]) }), Uint8Array.of(1, 0, 2))
  assertThrows(() => loadSafetensors(path), FileFormatError, 'bool', 'found 2')
})

test('names like __proto__ are names and nothing else', () => {
  const text =
    '{"__metadata__":{"__proto__":"m"},"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"constructor":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}'
  const header = readSafetensorsHeader(pack(text, new Uint8Array(2)))
  assert.equal(Object.keys(header.tensors), ['__proto__', 'constructor'])
  assert.equal(Object.keys(header.metadata), ['__proto__'])
  assert.is(Object.getPrototypeOf(header.tensors), Object.prototype)
})

test('what is allowed passes: spaces at the end, no tensors, empty shapes, zero sizes, any order, names in Unicode', () => {
  assert.equal(readSafetensorsHeader(pack('{}     \n')).tensors, {})
  const header = readSafetensorsHeader(
    json(
      {
        é日: entry('F32', [0, 5], [4, 4]),
        b: entry('U8', [1], [4, 5]),
        a: entry('F32', [], [0, 4]),
      },
      5,
    ),
  )
  assert.equal(Object.keys(header.tensors), ['é日', 'b', 'a'])
  assert.equal(header.tensors['a']!.shape, [])
  assert.is(header.tensors['b']!.bytes, 1)
})

test('a folder, a pipe and a missing file give an error, not a wait', () => {
  mkdirSync(join(folder, 'dir'))
  assertThrows(() => loadSafetensors(join(folder, 'dir')), FileFormatError, 'regular file')
  execFileSync('mkfifo', [join(folder, 'pipe')])
  assertThrows(() => loadSafetensors(join(folder, 'pipe')), FileFormatError, 'regular file')
  assertThrows(() => loadSafetensors(join(folder, 'none')), Error, 'none')
})

test('every truncation and every flipped bit of a small file is refused or reads as some valid file', () => {
  const good = Buffer.concat([
    Buffer.from([104, 0, 0, 0, 0, 0, 0, 0]),
    Buffer.from(
      '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}}'.padEnd(
        104,
      ),
    ),
  ])
  good.writeBigUInt64LE(BigInt(good.length - 8))
  const whole = Buffer.concat([good, Buffer.alloc(11, 1)])
  readSafetensorsHeader(file(whole))
  const path = join(folder, 'fuzz.safetensors')
  for (let i = 0; i < whole.length; i++) {
    writeFileSync(path, whole.subarray(0, i))
    assertThrows(() => readSafetensorsHeader(path), FileFormatError)
    for (let bit = 0; bit < 8; bit++) {
      const flipped = Buffer.from(whole)
      flipped[i]! ^= 1 << bit
      writeFileSync(path, flipped)
      try {
        readSafetensorsHeader(path)
      } catch (error) {
        if (!(error instanceof FileFormatError)) throw error
      }
    }
  }
})

test.run()
