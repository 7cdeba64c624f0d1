// safetensors (https://github.com/huggingface/safetensors, format description in its README): 8 bytes of header length,
// a JSON header, then the elements. Reading maps the file; every claim of the header is checked before it is believed.
import { dtypeSize, type DType } from '../dtype.js'
import { FileFormatError, ShapeError } from '../errors.js'
import { getDefaultDevice, type DeviceName } from '../native/places.js'
import { formatShape, maxDims, numel, sameShape } from '../shape.js'
import { Tensor } from '../tensor.js'
import { InputFile, Snapshot, writeAtomically } from './file.js'
import { JsonError, parseHeaderJson, type Json } from './header-json.js'

const maxHeaderBytes = 100_000_000

const dtypeNames: Readonly<Record<DType, string>> = {
  f32: 'F32',
  bf16: 'BF16',
  f16: 'F16',
  f64: 'F64',
  i32: 'I32',
  i64: 'I64',
  u8: 'U8',
  bool: 'BOOL',
}
const dtypeOf = new Map(Object.entries(dtypeNames).map(([ours, theirs]) => [theirs, ours as DType]))

export interface SafetensorsEntry {
  readonly dtype: DType
  readonly shape: readonly number[]
  /** First byte, counted from the start of the file. */
  readonly offset: number
  readonly bytes: number
}

export interface SafetensorsHeader {
  readonly tensors: Record<string, SafetensorsEntry>
  readonly metadata: Record<string, string>
}

/** Sets `record[key]`, also for `__proto__`, which an assignment would not store. */
function put<T>(record: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(record, key, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  })
}

class HeaderReader {
  readonly #file: string
  readonly #dataStart: number
  readonly #dataBytes: number

  constructor(file: string, dataStart: number, dataBytes: number) {
    this.#file = file
    this.#dataStart = dataStart
    this.#dataBytes = dataBytes
  }

  #fail(field: string, message: string): never {
    throw new FileFormatError(this.#file, field, message)
  }

  read(json: Json): SafetensorsHeader {
    if (!(json instanceof Map)) this.#fail('header', 'is not a JSON object')
    const header: SafetensorsHeader = { tensors: {}, metadata: {} }
    const entries: [string, SafetensorsEntry][] = []
    for (const [name, value] of json) {
      if (name === '__metadata__') this.#metadata(value, header.metadata)
      else entries.push([name, this.#entry(name, value)])
    }
    this.#checkCover(entries)
    for (const [name, entry] of entries) put(header.tensors, name, entry)
    return header
  }

  #metadata(json: Json, into: Record<string, string>): void {
    if (!(json instanceof Map)) this.#fail('__metadata__', 'is not a JSON object')
    for (const [key, value] of json) {
      if (typeof value !== 'string') this.#fail(`__metadata__.${key}`, 'is not a string')
      put(into, key, value)
    }
  }

  #entry(name: string, json: Json): SafetensorsEntry {
    if (!(json instanceof Map)) this.#fail(name, 'is not a JSON object')
    const dtype = this.#dtype(name, json.get('dtype'))
    const shape = this.#wholeNumbers(`${name}.shape`, json.get('shape'))
    if (shape.length > maxDims)
      this.#fail(`${name}.shape`, `has ${shape.length} dimensions, at most ${maxDims} are possible`)
    const offsets = this.#wholeNumbers(`${name}.data_offsets`, json.get('data_offsets'))
    const [begin, end] = offsets
    if (offsets.length !== 2 || begin === undefined || end === undefined) {
      this.#fail(`${name}.data_offsets`, `has ${offsets.length} numbers, not 2`)
    }
    if (begin > end || end > this.#dataBytes) {
      this.#fail(
        `${name}.data_offsets`,
        `[${begin}, ${end}] lies outside of the ${this.#dataBytes} bytes of data`,
      )
    }
    const bytes = this.#byteCount(name, shape, dtype)
    if (bytes !== end - begin) {
      this.#fail(
        `${name}.data_offsets`,
        `[${begin}, ${end}] holds ${end - begin} bytes, ${dtypeNames[dtype]}${formatShape(shape)} needs ${bytes}`,
      )
    }
    return { dtype, shape, offset: this.#dataStart + begin, bytes }
  }

  #dtype(name: string, json: Json | undefined): DType {
    const dtype = typeof json === 'string' ? dtypeOf.get(json) : undefined
    if (dtype === undefined) {
      const got =
        typeof json === 'string'
          ? `'${json.slice(0, 40)}'`
          : json === undefined
            ? 'missing'
            : 'not a string'
      this.#fail(`${name}.dtype`, `is ${got}. Readable are ${[...dtypeOf.keys()].join(', ')}`)
    }
    return dtype
  }

  #wholeNumbers(field: string, json: Json | undefined): number[] {
    if (!Array.isArray(json)) this.#fail(field, json === undefined ? 'is missing' : 'is not a list')
    for (const n of json) {
      if (typeof n !== 'number' || Number.isNaN(n))
        this.#fail(field, 'holds something else than whole numbers below 2^53')
    }
    return json as number[]
  }

  /** Checked from left to right like the reference reader: a zero does not excuse an overflow before it. */
  #byteCount(name: string, shape: readonly number[], dtype: DType): number {
    let n = dtypeSize(dtype)
    for (const size of shape) {
      n *= size
      if (n > Number.MAX_SAFE_INTEGER)
        this.#fail(`${name}.shape`, `${formatShape(shape)} has more bytes than can be addressed`)
    }
    // Zero elements pass the product above in any case; the other sizes must still make sense together.
    if (
      n === 0 &&
      shape.reduce((p, s) => p * (s || 1), dtypeSize(dtype)) > Number.MAX_SAFE_INTEGER / 8
    ) {
      this.#fail(`${name}.shape`, `${formatShape(shape)} has more bytes than can be addressed`)
    }
    return n
  }

  /** The tensors cover the data from first to last byte, each byte once. */
  #checkCover(entries: readonly [string, SafetensorsEntry][]): void {
    const sorted = [...entries].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes)
    let at = this.#dataStart
    for (const [name, { offset, bytes }] of sorted) {
      if (offset !== at) {
        const what =
          offset < at
            ? `overlaps the tensor before it by ${at - offset}`
            : `leaves a hole of ${offset - at}`
        throw new FileFormatError(
          this.#file,
          `${name}.data_offsets`,
          `${what} bytes`,
          Math.min(offset, at),
        )
      }
      at += bytes
    }
    const end = this.#dataStart + this.#dataBytes
    if (at !== end)
      throw new FileFormatError(
        this.#file,
        'data',
        `${end - at} bytes at the end belong to no tensor`,
        at,
      )
  }
}

function readHeader(file: InputFile): SafetensorsHeader {
  const { path, bytes } = file
  if (bytes < 8)
    throw new FileFormatError(
      path,
      'header length',
      `the file has ${bytes} bytes, the length alone takes 8`,
      0,
    )
  const start = new Uint8Array(8)
  file.read(start, 0)
  const length = new DataView(start.buffer).getBigUint64(0, true)
  // Both limits before any memory is taken for it.
  if (length > BigInt(maxHeaderBytes)) {
    throw new FileFormatError(
      path,
      'header length',
      `${length} is above the limit of ${maxHeaderBytes} bytes`,
      0,
    )
  }
  if (length > BigInt(bytes - 8)) {
    throw new FileFormatError(
      path,
      'header length',
      `${length} reaches past the end of the file (${bytes} bytes)`,
      0,
    )
  }
  const raw = new Uint8Array(Number(length))
  file.read(raw, 8)
  if (raw[0] !== 0x7b) throw new FileFormatError(path, 'header', "does not begin with '{'", 8)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw)
  } catch {
    throw new FileFormatError(path, 'header', 'is not valid UTF-8', 8)
  }
  let json: Json
  try {
    json = parseHeaderJson(text)
  } catch (error) {
    if (!(error instanceof JsonError)) throw error
    throw new FileFormatError(
      path,
      'header',
      error.message,
      8 + Buffer.byteLength(text.slice(0, error.at)),
    )
  }
  return new HeaderReader(path, 8 + raw.length, bytes - 8 - raw.length).read(json)
}

/**
 * Reads and checks the header alone: names, dtypes, shapes and where the elements lie.
 * @throws FileFormatError naming the file, the field and, where there is one, the offset
 */
export function readSafetensorsHeader(path: string): SafetensorsHeader {
  const file = new InputFile(path)
  try {
    return readHeader(file)
  } finally {
    file.close()
  }
}

export interface LoadOptions {
  /** Loads these alone; a name that is not there is an error. */
  readonly names?: readonly string[]
  /** Where the tensors go. Default: the default device. */
  readonly device?: DeviceName
}

/**
 * The tensors of a safetensors file. On the CPU large ones map the file: they cost no memory until they are read, and writing into
 * one stays private. The file must not be changed in place while they live (replacing it, as `saveSafetensors` does, is
 * harmless).
 * @throws FileFormatError naming the file, the field and, where there is one, the offset
 */
export function loadSafetensors(
  path: string,
  options: LoadOptions = {},
): { tensors: Record<string, Tensor>; metadata: Record<string, string> } {
  const file = new InputFile(path)
  const tensors: Record<string, Tensor> = {}
  try {
    const device = options.device ?? getDefaultDevice()
    const header = readHeader(file)
    for (const name of options.names ?? Object.keys(header.tensors)) {
      if (!Object.hasOwn(header.tensors, name)) {
        throw new FileFormatError(path, name, 'there is no tensor of this name in the file')
      }
      const { dtype, shape, offset, bytes } = header.tensors[name]!
      const storage = file.storage('loadSafetensors', offset, bytes, dtype)
      const loaded = new Tensor(storage, dtype, shape)
      const t = loaded.to({ device })
      if (t !== loaded) loaded.dispose()
      put(tensors, name, t)
    }
    return { tensors, metadata: header.metadata }
  } catch (error) {
    for (const t of Object.values(tensors)) t.dispose()
    throw error
  } finally {
    file.close()
  }
}

const loneSurrogate = /\p{Surrogate}/u

function checkNames(
  path: string,
  tensors: Readonly<Record<string, Savable>>,
  metadata: Readonly<Record<string, string>>,
): void {
  for (const name of [...Object.keys(tensors), ...Object.keys(metadata)]) {
    if (loneSurrogate.test(name))
      throw new FileFormatError(path, JSON.stringify(name), 'the name has half of a surrogate pair')
  }
  if (Object.hasOwn(tensors, '__metadata__')) {
    throw new FileFormatError(
      path,
      '__metadata__',
      'this name is taken by the format, no tensor can have it',
    )
  }
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string' || loneSurrogate.test(value)) {
      throw new FileFormatError(
        path,
        `__metadata__.${key}`,
        'metadata values are well-formed strings',
      )
    }
  }
}

/** A tensor that is made when its turn to be written comes, and disposed of when it is written. */
export interface TensorSource {
  readonly dtype: DType
  readonly shape: readonly number[]
  make(): Tensor | Promise<Tensor>
}

type Savable = Tensor | TensorSource

/** Order of the elements in the file: wide types first, so that all are aligned, then by name, as the reference writes. */
function inFileOrder(tensors: Readonly<Record<string, Savable>>): [string, Savable][] {
  return Object.entries(tensors).sort(
    ([nameA, a], [nameB, b]) => dtypeSize(b.dtype) - dtypeSize(a.dtype) || (nameA < nameB ? -1 : 1),
  )
}

function encodeHeader(
  path: string,
  tensors: readonly [string, Savable][],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header: Record<string, unknown> = {}
  if (Object.keys(metadata).length > 0) put(header, '__metadata__', metadata)
  let at = 0
  for (const [name, t] of tensors) {
    const end = at + numel(t.shape) * dtypeSize(t.dtype)
    put(header, name, { dtype: dtypeNames[t.dtype], shape: t.shape, data_offsets: [at, end] })
    at = end
  }
  const json = Buffer.from(JSON.stringify(header))
  // Spaces up to a whole cache line keep the elements on cache lines where the file is mapped.
  const padded = Math.ceil((8 + json.length) / 64) * 64 - 8
  if (padded > maxHeaderBytes) {
    throw new FileFormatError(
      path,
      'header',
      `would take ${padded} bytes, the format allows ${maxHeaderBytes}`,
    )
  }
  const bytes = Buffer.alloc(8 + padded, ' ')
  bytes.writeBigUInt64LE(BigInt(padded), 0)
  json.copy(bytes, 8)
  return bytes
}

/**
 * Writes tensors as a safetensors file, whole or not at all: a crash leaves the old file or the new one. Views are
 * written as they are seen; bf16 and f16 stay what they are. Memory for one piece of one tensor is all it takes, and where
 * tensors are given as sources, for one of them.
 * @param metadata strings only
 * @throws ShaktiError when a tensor is changed before the promise is fulfilled, or a source makes another than it said
 */
export async function saveSafetensors(
  path: string,
  tensors: Readonly<Record<string, Tensor | TensorSource>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  checkNames(path, tensors, metadata)
  const ordered = inFileOrder(tensors)
  const header = encodeHeader(path, ordered, metadata)
  const parts: (Snapshot | [string, TensorSource])[] = []
  try {
    for (const [name, t] of ordered)
      parts.push(t instanceof Tensor ? new Snapshot('saveSafetensors', name, t) : [name, t])
    await writeAtomically('saveSafetensors', path, pieces(header, parts))
  } finally {
    for (const p of parts) if (p instanceof Snapshot) p.dispose()
  }
}

async function* pieces(
  header: Uint8Array,
  parts: readonly (Snapshot | [string, TensorSource])[],
): AsyncGenerator<Uint8Array> {
  yield header
  for (const p of parts) {
    if (p instanceof Snapshot) yield* p.chunks('saveSafetensors')
    else yield* madeChunks(...p)
  }
}

async function* madeChunks(name: string, source: TensorSource): AsyncGenerator<Uint8Array> {
  const t = await source.make()
  try {
    if (t.dtype !== source.dtype || !sameShape(t.shape, source.shape)) {
      throw new ShapeError(
        'saveSafetensors',
        `the source of ${name} said ${source.dtype}${formatShape(source.shape)} and made ${t.describe()}.`,
        [t.shape, source.shape],
      )
    }
    const snapshot = new Snapshot('saveSafetensors', name, t)
    try {
      yield* snapshot.chunks('saveSafetensors')
    } finally {
      snapshot.dispose()
    }
  } finally {
    t.dispose()
  }
}
