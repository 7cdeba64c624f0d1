// NumPy's .npy, one array a file (numpy/lib/format.py describes it): magic, version, a Python dict as text, the elements.
import { dtypeSize, type DType } from '../dtype.js'
import { DTypeError, FileFormatError } from '../errors.js'
import { contiguousStrides, formatShape, maxDims, numel } from '../shape.js'
import { Tensor } from '../tensor.js'
import { InputFile, Snapshot, writeAtomically } from './file.js'

const descr: Readonly<Partial<Record<DType, string>>> = {
  f32: '<f4',
  f64: '<f8',
  f16: '<f2',
  i32: '<i4',
  i64: '<i8',
  u8: '|u1',
  bool: '|b1',
}
const dtypeOf = new Map(Object.entries(descr).map(([ours, theirs]) => [theirs, ours as DType]))

// Headers hold three short fields; NumPy itself distrusts longer ones (numpy.lib.format, _MAX_HEADER_SIZE).
const maxHeaderBytes = 10_000
const header = /^\{(?<fields>[^{}]*)\}\s*$/
const field =
  /^\s*'(?<key>descr|fortran_order|shape)'\s*:\s*(?<value>'[^']*'|True|False|\([0-9, ]*\))\s*(?:,|$)/

interface NpyHeader {
  readonly dtype: DType
  readonly fortran: boolean
  readonly shape: number[]
  readonly dataStart: number
}

function parseFields(path: string, text: string): Map<string, string> {
  let rest = header.exec(text)?.groups?.['fields']
  if (rest === undefined) throw new FileFormatError(path, 'header', 'is not a dict', 10)
  const fields = new Map<string, string>()
  while (rest.trim() !== '') {
    const found = field.exec(rest)
    if (!found?.groups)
      throw new FileFormatError(path, 'header', `cannot read '${rest.slice(0, 40)}'`, 10)
    const { key, value } = found.groups
    if (fields.has(key!)) throw new FileFormatError(path, key!, 'stands twice', 10)
    fields.set(key!, value!)
    rest = rest.slice(found[0].length)
  }
  return fields
}

function parseShape(path: string, text: string): number[] {
  const sizes = text
    .slice(1, -1)
    .split(',')
    .map((s) => s.trim())
  if (sizes.at(-1) === '') sizes.pop()
  const shape = sizes.map(Number)
  if (sizes.some((s) => !/^\d+$/.test(s)) || shape.length > maxDims) {
    throw new FileFormatError(
      path,
      'shape',
      `${text.slice(0, 100)} is not a tuple of at most ${maxDims} sizes`,
      10,
    )
  }
  if (!(shape.reduce((p, s) => p * (s || 1), 8) <= Number.MAX_SAFE_INTEGER)) {
    throw new FileFormatError(path, 'shape', `${text} has more bytes than can be addressed`, 10)
  }
  return shape
}

function readHeader(file: InputFile): NpyHeader {
  const { path } = file
  if (file.bytes < 12)
    throw new FileFormatError(path, 'file', `has ${file.bytes} bytes, a header takes more`, 0)
  const start = new Uint8Array(12)
  file.read(start, 0)
  if (start[0] !== 0x93 || Buffer.from(start.subarray(1, 6)).toString('latin1') !== 'NUMPY') {
    throw new FileFormatError(path, 'magic', 'the file does not begin with \\x93NUMPY', 0)
  }
  const major = start[6]!
  if (major < 1 || major > 3)
    throw new FileFormatError(path, 'version', `${major} is not 1, 2 or 3`, 6)
  const view = new DataView(start.buffer)
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true)
  const at = major === 1 ? 10 : 12
  if (length > maxHeaderBytes || at + length > file.bytes) {
    throw new FileFormatError(
      path,
      'header length',
      `${length} is above ${Math.min(maxHeaderBytes, file.bytes - at)}`,
      8,
    )
  }
  const raw = new Uint8Array(length)
  file.read(raw, at)
  const fields = parseFields(path, Buffer.from(raw).toString('latin1'))
  const get = (key: string, form: RegExp): string => {
    const value = fields.get(key)
    if (value === undefined || !form.test(value))
      throw new FileFormatError(path, key, value === undefined ? 'is missing' : `is ${value}`, at)
    return value
  }
  const type = get('descr', /^'/).slice(1, -1)
  const dtype = dtypeOf.get(type)
  if (dtype === undefined) {
    throw new FileFormatError(
      path,
      'descr',
      `is '${type.slice(0, 20)}'. Readable are ${[...dtypeOf.keys()].join(', ')}`,
      at,
    )
  }
  return {
    dtype,
    fortran: get('fortran_order', /^(True|False)$/) === 'True',
    shape: parseShape(path, get('shape', /^\(/)),
    dataStart: at + length,
  }
}

/**
 * The array of a .npy file; mapped when it is large. Column-major (Fortran) arrays come as a view, not a copy.
 * @throws FileFormatError for big-endian or structured arrays, and whatever else is not a plain array of numbers
 */
export function loadNpy(path: string): Tensor {
  const file = new InputFile(path)
  try {
    const { dtype, fortran, shape, dataStart } = readHeader(file)
    const bytes = numel(shape) * dtypeSize(dtype)
    if (dataStart + bytes !== file.bytes) {
      const message = `${file.bytes - dataStart} bytes, ${dtype}${formatShape(shape)} needs ${bytes}`
      throw new FileFormatError(path, 'data', message, dataStart)
    }
    const strides = fortran
      ? contiguousStrides([...shape].reverse()).reverse()
      : contiguousStrides(shape)
    return new Tensor(file.storage('loadNpy', dataStart, bytes, dtype), dtype, shape, strides)
  } finally {
    file.close()
  }
}

/** Writes one tensor as .npy (version 1.0), whole or not at all. NumPy has no bf16: convert first. */
export async function saveNpy(path: string, t: Tensor): Promise<void> {
  const type = descr[t.dtype]
  if (type === undefined)
    throw new DTypeError('saveNpy', `.npy has no ${t.dtype}. Convert first: x.to('f32').`)
  const shape = `(${t.shape.join(', ')}${t.shape.length === 1 ? ',' : ''})`
  const dict = `{'descr': '${type}', 'fortran_order': False, 'shape': ${shape}, }`
  // Padded so that the elements begin at a multiple of 64, ended by a newline.
  const padded = Math.ceil((10 + dict.length + 1) / 64) * 64 - 10
  const head = Buffer.alloc(10 + padded, ' ')
  head.write('\x93NUMPY\x01\x00', 0, 'latin1')
  head.writeUInt16LE(padded, 8)
  head.write(dict, 10, 'latin1')
  head[head.length - 1] = 0x0a
  const snapshot = new Snapshot('saveNpy', 'the tensor', t)
  try {
    await writeAtomically('saveNpy', path, pieces(head, snapshot))
  } finally {
    snapshot.dispose()
  }
}

async function* pieces(head: Uint8Array, snapshot: Snapshot): AsyncGenerator<Uint8Array> {
  yield head
  yield* snapshot.chunks('saveNpy')
}
