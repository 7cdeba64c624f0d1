// GGUF, version 3 (docs/gguf.md of ggml): magic, counts, key-value pairs, tensor infos, then the tensors, each aligned.
// Everything is little-endian; the dimensions of a tensor stand innermost first, the reverse of a shape.
import { ShaktiError } from '@shakti/tensor'

const valueTypes = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const

/** A key of the header. An array holds numbers or strings of one type. */
export type GgufField =
  | { readonly key: string; readonly type: 'u32' | 'i32' | 'f32'; readonly value: number }
  | { readonly key: string; readonly type: 'bool'; readonly value: boolean }
  | { readonly key: string; readonly type: 'string'; readonly value: string }
  | {
      readonly key: string
      readonly type: 'array'
      readonly of: 'u32' | 'i32' | 'f32'
      readonly value: readonly number[]
    }
  | {
      readonly key: string
      readonly type: 'array'
      readonly of: 'string'
      readonly value: readonly string[]
    }

interface TensorType {
  /** Its number in the file (ggml_type). */
  readonly code: number
  /** Elements of a block, which lie side by side in a row. */
  readonly block: number
  /** Bytes of a block. */
  readonly bytes: number
  /** `general.file_type` of a model whose matrices are of it (llama_ftype). */
  readonly file: number
}

export const tensorTypes = {
  f32: { code: 0, block: 1, bytes: 4, file: 0 },
  f16: { code: 1, block: 1, bytes: 2, file: 1 },
  bf16: { code: 30, block: 1, bytes: 2, file: 32 },
  q8_0: { code: 8, block: 32, bytes: 34, file: 7 },
  q4_0: { code: 2, block: 32, bytes: 18, file: 2 },
} as const satisfies Record<string, TensorType>

/** How the elements of a tensor are held. */
export type GgufType = keyof typeof tensorTypes

export interface GgufTensor {
  readonly name: string
  /** Outermost first, as shapes are written here. */
  readonly shape: readonly number[]
  readonly type: GgufType
}

const alignment = 32
const padding = (at: number): number => (alignment - (at % alignment)) % alignment

/** Bytes of a tensor in the file, without what pads it. */
export function tensorSize({ shape, type }: Pick<GgufTensor, 'shape' | 'type'>): number {
  const { block, bytes } = tensorTypes[type]
  return (shape.reduce((a, b) => a * b, 1) / block) * bytes
}

/** Bytes that grow. */
class ByteWriter {
  #bytes = Buffer.alloc(1 << 16)
  #at = 0

  #room(n: number): number {
    const at = this.#at
    if (at + n > this.#bytes.length) {
      const grown = Buffer.alloc(Math.max(2 * this.#bytes.length, at + n))
      this.#bytes.copy(grown)
      this.#bytes = grown
    }
    this.#at += n
    return at
  }

  u32(value: number): void {
    const at = this.#room(4)
    this.#bytes.writeUInt32LE(value, at)
  }

  u64(value: number): void {
    const at = this.#room(8)
    this.#bytes.writeBigUInt64LE(BigInt(value), at)
  }

  number(type: 'u32' | 'i32' | 'f32', value: number): void {
    const at = this.#room(4)
    if (type === 'u32') this.#bytes.writeUInt32LE(value, at)
    else if (type === 'i32') this.#bytes.writeInt32LE(value, at)
    else this.#bytes.writeFloatLE(value, at)
  }

  string(value: string): void {
    const n = Buffer.byteLength(value)
    this.u64(n)
    const at = this.#room(n)
    this.#bytes.write(value, at)
  }

  zeros(n: number): void {
    const at = this.#room(n)
    this.#bytes.fill(0, at, at + n)
  }

  byte(value: number): void {
    const at = this.#room(1)
    this.#bytes[at] = value
  }

  get length(): number {
    return this.#at
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }
}

function writeField(out: ByteWriter, field: GgufField): void {
  out.string(field.key)
  out.u32(valueTypes[field.type])
  if (field.type === 'string') out.string(field.value)
  else if (field.type === 'bool') out.byte(field.value ? 1 : 0)
  else if (field.type !== 'array') out.number(field.type, field.value)
  else {
    out.u32(valueTypes[field.of])
    out.u64(field.value.length)
    if (field.of === 'string') for (const s of field.value) out.string(s)
    else for (const n of field.value) out.number(field.of, n)
  }
}

/**
 * All that stands before the tensors, padded.
 * @throws ShaktiError for a row that is no whole number of blocks
 */
export function encodeHeader(
  fields: readonly GgufField[],
  tensors: readonly GgufTensor[],
): Uint8Array {
  const out = new ByteWriter()
  for (const letter of Buffer.from('GGUF')) out.byte(letter)
  out.u32(3)
  out.u64(tensors.length)
  out.u64(fields.length)
  for (const field of fields) writeField(out, field)
  let offset = 0
  for (const { name, shape, type } of tensors) {
    const { code, block } = tensorTypes[type]
    if (shape.at(-1)! % block !== 0) {
      throw new ShaktiError(
        'gguf',
        `${name} has rows of ${shape.at(-1)}; ${type} needs a multiple of ${block}. Export it as bf16 or f16.`,
      )
    }
    out.string(name)
    out.u32(shape.length)
    for (const size of [...shape].reverse()) out.u64(size)
    out.u32(code)
    out.u64(offset)
    const size = tensorSize({ shape, type })
    offset += size + padding(size)
  }
  out.zeros(padding(out.length))
  return out.bytes()
}

/**
 * A file, piece by piece.
 * @param bytes the elements of a tensor, `tensorSize` bytes in all
 */
export async function* encodeFile(
  fields: readonly GgufField[],
  tensors: readonly GgufTensor[],
  bytes: (tensor: GgufTensor) => AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield encodeHeader(fields, tensors)
  for (const tensor of tensors) {
    let written = 0
    for await (const piece of bytes(tensor)) {
      written += piece.length
      yield piece
    }
    const size = tensorSize(tensor)
    if (written !== size)
      throw new ShaktiError('gguf', `${tensor.name} gave ${written} bytes where ${size} belong.`)
    yield new Uint8Array(padding(size))
  }
}
