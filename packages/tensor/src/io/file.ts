// What the file formats share: memory from a part of a file, the bytes of a tensor in pieces, and a write that is there
// as a whole or not at all.
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { open, rename, unlink, type FileHandle } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { noGrad } from '../autograd/tape.js'
import { dtypeSize, type DType } from '../dtype.js'
import { AutogradError, DeviceError, FileFormatError, ShaktiError } from '../errors.js'
import { native, takeNativeError } from '../native/binding.js'
import { unowned } from '../scope.js'
import { placeOf } from '../native/places.js'
import { allocate, storageFromFile, type Storage } from '../storage.js'
import type { Tensor } from '../tensor.js'

const chunkBytes = 8 << 20

// Below this a copy is cheaper than a mapping, and mappings are scarce (65,530 a process on Linux).
const mapFrom = 64 << 10

/** An open regular file of known size. Anything else is refused: opening a pipe would wait for ever. */
export class InputFile {
  readonly path: string
  readonly bytes: number
  readonly #fd: number

  constructor(path: string) {
    const stat = statSync(path)
    if (!stat.isFile()) throw new FileFormatError(path, 'file', 'is not a regular file')
    this.path = path
    this.bytes = stat.size
    this.#fd = openSync(path, 'r')
  }

  /** Fills `target` from `offset`, however many reads that takes. */
  read(target: Uint8Array, offset: number): void {
    for (let done = 0; done < target.length;) {
      const n = readSync(this.#fd, target, done, target.length - done, offset + done)
      if (n === 0)
        throw new FileFormatError(
          this.path,
          'file',
          'ends early: it was cut while being read',
          offset + done,
        )
      done += n
    }
  }

  /** Elements from `offset`: mapped where they are large and aligned, else copied. */
  storage(op: string, offset: number, bytes: number, dtype: DType): Storage {
    const aligned = offset % dtypeSize(dtype) === 0
    // A bool that is neither 0 nor 1 would make kernels disagree about it, so bools are always looked at.
    if (bytes >= mapFrom && aligned && dtype !== 'bool')
      return storageFromFile(this.path, offset, bytes)
    const storage = allocate(op, bytes, 'cpu')
    const chunk = new Uint8Array(Math.min(bytes, chunkBytes))
    for (let done = 0; done < bytes; done += chunk.length) {
      const part = chunk.subarray(0, Math.min(chunk.length, bytes - done))
      this.read(part, offset + done)
      if (dtype === 'bool') this.#checkBools(part, offset + done)
      if (native().upload(storage.handle, done, part, 0) < 0) throw takeNativeError(op)
    }
    return storage
  }

  #checkBools(part: Uint8Array, offset: number): void {
    const bad = part.findIndex((b) => b > 1)
    if (bad >= 0) {
      throw new FileFormatError(
        this.path,
        'data',
        `a bool is 0 or 1, found ${part[bad]}`,
        offset + bad,
      )
    }
  }

  close(): void {
    closeSync(this.#fd)
  }
}

/** A tensor held for saving: it survives `dispose`, and a change while it is written is an error, not a mixed file. */
export class Snapshot {
  readonly #tensor: Tensor
  readonly #version: number
  readonly #what: string

  constructor(op: string, what: string, t: Tensor) {
    if (t.device === 'meta')
      throw new DeviceError(op, `${what} (${t.describe()}) is on meta: it has no elements to save.`)
    this.#tensor = unowned(() => t.detach())
    this.#version = t.storage.version
    this.#what = what
  }

  /** The bytes in row-major order, in pieces. */
  async *chunks(op: string): AsyncGenerator<Uint8Array> {
    const source = unowned(() => noGrad(() => this.#tensor.contiguous()))
    try {
      const size = dtypeSize(source.dtype)
      const total = source.numel * size
      for (let done = 0; done < total; done += chunkBytes) {
        const buffer = new ArrayBuffer(Math.min(chunkBytes, total - done))
        await new Promise<void>((resolve, reject) => {
          const settle = (code: number): void =>
            code < 0 ? reject(takeNativeError(op)) : resolve()
          const code = native().readAsync(
            source.storage.handle,
            source.offset * size + done,
            buffer,
            settle,
            placeOf(source.device),
          )
          if (code < 0) reject(takeNativeError(op))
        })
        if (this.#tensor.storage.version !== this.#version) {
          throw new AutogradError(
            op,
            `${this.#what} was changed while it was being saved. Await the save first.`,
          )
        }
        yield new Uint8Array(buffer)
      }
    } finally {
      if (source !== this.#tensor) source.dispose()
    }
  }

  dispose(): void {
    this.#tensor.dispose()
  }
}

/**
 * The elements of a tensor as they lie in a file: row-major, little-endian, in pieces of at most 8 MB. bf16 and f16 stay what
 * they are, which `data()` cannot show.
 * @throws AutogradError when the tensor is changed meanwhile; DeviceError when it is on meta
 */
export async function* tensorBytes(t: Tensor): AsyncGenerator<Uint8Array> {
  const snapshot = new Snapshot('tensorBytes', 'the tensor', t)
  try {
    yield* snapshot.chunks('tensorBytes')
  } finally {
    snapshot.dispose()
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done)).bytesWritten
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/**
 * Writes a file as a whole: into a temporary one beside it, synced, then renamed over `path`. A crash at any point
 * leaves the old file or the new one; a mapping of the old file stays valid.
 * @param op who writes, for the error
 * @throws ShaktiError naming the path, when it cannot be written; what `content` throws
 */
export async function writeAtomically(
  op: string,
  path: string,
  content: string | AsyncIterable<Uint8Array>,
): Promise<void> {
  const target = resolve(path)
  const temporary = `${target}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`
  let file: FileHandle | undefined
  try {
    file = await open(temporary, 'wx')
    if (typeof content === 'string') await file.writeFile(content)
    else for await (const chunk of content) await writeAll(file, chunk)
    await file.sync()
    await file.close()
    file = undefined
    await rename(temporary, target)
    await syncFolder(dirname(target))
  } catch (error) {
    await file?.close().catch(() => undefined)
    await unlink(temporary).catch(() => undefined)
    // What the content threw (an abort, a tensor changed meanwhile) is no failure to write.
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error
    throw new ShaktiError(op, `cannot write ${path}: ${(error as Error).message}`, { cause: error })
  }
}
