// Reading with a limit and writing atomically.

import { randomBytes } from 'node:crypto'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FileFormatError } from '../errors.js'

/** tokenizer.json of a 256,000-token vocabulary has 33 MB. */
export const MAX_FILE_BYTES = 128 * 2 ** 20

/** The file's bytes, or undefined where there is none. Its size is checked before it is read. */
export async function readBytes(
  path: string,
  maxBytes = MAX_FILE_BYTES,
): Promise<Uint8Array | undefined> {
  let handle
  try {
    handle = await open(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw new FileFormatError(path, 'file', 'is not a regular file.')
    if (stat.size > maxBytes) {
      throw new FileFormatError(
        path,
        'file',
        `has ${stat.size} bytes; at most ${maxBytes} are read.`,
      )
    }
    return await handle.readFile()
  } finally {
    await handle.close()
  }
}

export function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new FileFormatError(
      file,
      'file',
      `is not JSON (${(error as Error).message.slice(0, 100)}).`,
    )
  }
}

/** Writes beside the target and renames, so that a reader or a crash never meets half a file. */
export async function writeAtomic(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const handle = await open(temporary, 'wx')
    try {
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}
