// What files and folders hold, in an order that depends on their names alone.

import { lstat, open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { FileFormatError, TokenizerError, brief } from '../errors.js'
import { Chunker } from '../train/chunks.js'
import type { Chunk } from '../train/chunks.js'
import { textBytes } from '../train/count.js'

export interface TextFile {
  readonly path: string
  readonly size: number
  readonly modified: number
}

/**
 * The files among `paths` and, sorted by name, those in the folders among them. Names that begin with a dot and links to
 * folders, which may lead back, are left out.
 */
export async function listFiles(paths: readonly string[]): Promise<TextFile[]> {
  const files: TextFile[] = []
  const visit = async (path: string, named: boolean): Promise<void> => {
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' ? new FileFormatError(path, 'file', 'does not exist.') : error
    })
    if (found.isDirectory()) {
      if (!named && (await lstat(path)).isSymbolicLink()) return
      const names = (await readdir(path)).filter((name) => !name.startsWith('.'))
      for (const name of names.sort()) await visit(join(path, name), false)
    } else if (found.isFile() || named) {
      files.push({ path, size: found.size, modified: found.mtimeMs })
    }
  }
  for (const path of paths) await visit(path, true)
  return files
}

const BLOCK_BYTES = 1 << 20

/** A file a text. */
export async function* fileChunks(
  files: readonly TextFile[],
  cutsAtBlanks: boolean,
): AsyncGenerator<Chunk> {
  const chunker = new Chunker(cutsAtBlanks)
  const block = new Uint8Array(BLOCK_BYTES)
  for (const { path } of files) {
    const handle = await open(path, 'r')
    try {
      for (;;) {
        const { bytesRead } = await handle.read(block, 0, BLOCK_BYTES)
        if (bytesRead === 0) break
        chunker.push(block.subarray(0, bytesRead))
        yield* taken(chunker)
      }
    } finally {
      await handle.close()
    }
    chunker.endText()
    yield* taken(chunker)
  }
  chunker.finish()
  yield* taken(chunker)
}

export async function* textChunks(
  texts: AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>,
  cutsAtBlanks: boolean,
): AsyncGenerator<Chunk> {
  if (typeof texts === 'string' || texts instanceof Uint8Array) {
    throw new TokenizerError(
      'Tokenizer.train',
      `texts are ${brief(texts)}. A list is expected: [text].`,
    )
  }
  const chunker = new Chunker(cutsAtBlanks)
  for await (const text of texts) {
    chunker.push(textBytes(text))
    chunker.endText()
    yield* taken(chunker)
  }
  chunker.finish()
  yield* taken(chunker)
}

function* taken(chunker: Chunker): Generator<Chunk> {
  for (let chunk = chunker.take(); chunk !== undefined; chunk = chunker.take()) yield chunk
}
