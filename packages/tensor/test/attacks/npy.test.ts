// Hostile .npy files: refused with the field named.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileFormatError, loadNpy } from '@shakti/tensor'
import { assertThrows, test } from '../assert.js'

const folder = mkdtempSync(join(tmpdir(), 'shakti-attack-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
let files = 0

function npy(
  dict: string,
  dataBytes = 0,
  options: { version?: number; length?: number } = {},
): string {
  const { version = 1, length = dict.length } = options
  const head = Buffer.alloc(version === 1 ? 10 : 12)
  head.write('\x93NUMPY', 0, 'latin1')
  head[6] = version
  if (version === 1) head.writeUInt16LE(length, 8)
  else head.writeUInt32LE(length, 8)
  const path = join(folder, `${files++}.npy`)
  writeFileSync(path, Buffer.concat([head, Buffer.from(dict, 'latin1'), Buffer.alloc(dataBytes)]))
  return path
}

const refused = (path: string, ...words: string[]): void => {
  assertThrows(() => loadNpy(path), FileFormatError, path, ...words)
}
const dict = (descr: string, shape: string): string =>
  `{'descr': ${descr}, 'fortran_order': False, 'shape': ${shape}, }`

test('a file that is too short, of another kind or of an unknown version is refused', () => {
  const path = join(folder, 'short.npy')
  writeFileSync(path, 'abc')
  refused(path, 'file')
  writeFileSync(path, 'PK\x03\x04 and so on and on')
  refused(path, 'magic')
  refused(npy(dict("'<f4'", '(1,)'), 4, { version: 9 }), 'version')
})

test('a header that is too long or reaches past the end is refused', () => {
  refused(npy(dict("'<f4'", '(1,)'), 4, { version: 2, length: 0xffffffff }), 'header length')
  refused(npy('{}', 0, { length: 60_000 }), 'header length')
})

test('Python that is not a plain dict of the three fields is refused', () => {
  refused(npy("__import__('os').system('true')     "), 'header')
  refused(npy("{'descr': '<f4', 'fortran_order': False}", 4), 'shape', 'missing')
  refused(
    npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4),
    'descr',
    'twice',
  )
  refused(npy("{'descr': '<f4', 'fortran_order': 1, 'shape': ()}", 4), 'header')
  refused(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': ''}", 4), 'header')
})

test('pickled, big-endian, structured and unknown element types are refused', () => {
  for (const descr of ["'|O'", "'>f4'", "'<c8'", "'<U4'", "''"])
    refused(npy(dict(descr, '(1,)'), 8), 'descr')
  refused(npy(dict("[('a', '<f4')]", '(1,)'), 8), 'header')
})

test('shapes that overflow, have too many dimensions or do not fit the file are refused', () => {
  refused(npy(dict("'<f4'", '(4294967296, 4294967296)')), 'shape')
  refused(npy(dict("'<f4'", '(0, 4294967296, 4294967296)')), 'shape')
  refused(npy(dict("'<f4'", `(${'1,'.repeat(9)})`), 4), 'shape')
  refused(npy(dict("'<f4'", '(-1,)'), 4), 'header')
  refused(npy(dict("'<f4'", '(2,,2)'), 16), 'shape')
  refused(npy(dict("'<f4'", '(2,)'), 4), 'data')
  refused(npy(dict("'<f4'", '(2,)'), 12), 'data')
})

test.run()
