// What commands read: tokenizers, files, standard input.

import { readFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { listFiles } from '../node/sources.js'
import { Tokenizer } from '../node/tokenizer.js'
import { UsageError } from './command.js'

/** From a folder, or a tokenizer.json by its path. */
export async function loadTokenizer(path: string | undefined): Promise<Tokenizer> {
  if (path === undefined) {
    throw new UsageError('no tokenizer is given. A folder or a tokenizer.json is expected first.')
  }
  return Tokenizer.fromPretrained(path)
}

export interface Input {
  readonly name: string
  readonly bytes: Buffer
}

/** The files, and those in the folders; standard input where there are none, or for '-'. */
export async function* inputs(paths: readonly string[], stdin: Readable): AsyncGenerator<Input> {
  for (const path of paths.length === 0 ? ['-'] : paths) {
    if (path === '-') yield { name: '-', bytes: await readAll(stdin) }
    else {
      for (const file of await listFiles([path])) {
        yield { name: file.path, bytes: await readFile(file.path) }
      }
    }
  }
}

async function readAll(stream: Readable): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of stream as AsyncIterable<string | Uint8Array>) {
    parts.push(typeof part === 'string' ? Buffer.from(part) : part)
  }
  return Buffer.concat(parts)
}

/** Lines without their ends; a last empty one is no line. */
export function linesOf(text: string): string[] {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines
}
