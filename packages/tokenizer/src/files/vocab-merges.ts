// GPT-2's two files: vocab.json, tokens and their ids, and merges.txt, a merge a line.

import { FileFormatError } from '../errors.js'
import { JsonReader } from './json-reader.js'
import { MAX_MERGES, MergeList, readVocab, splitMerge } from './tokenizer-document.js'
import type { VocabList } from './tokenizer-document.js'

const HEADER = new TextEncoder().encode('#version')

/** Reads a vocab.json. `file` is named in the errors. Throws FileFormatError. */
export function parseVocabJson(bytes: Uint8Array, file: string): VocabList {
  const reader = new JsonReader(bytes, file)
  const vocab = readVocab(reader, 'file')
  if (reader.peek() !== -1) reader.fail('file', 'has more than one JSON value.')
  return vocab
}

/** Reads a merges.txt. `file` is named in the errors. Throws FileFormatError. */
export function parseMergesTxt(bytes: Uint8Array, file: string): MergeList {
  const merges = new MergeList()
  const { halves } = merges
  let line = 0
  for (let start = 0; start < bytes.length;) {
    line++
    const newline = bytes.indexOf(0x0a, start)
    const next = newline < 0 ? bytes.length : newline + 1
    let end = newline < 0 ? bytes.length : newline
    if (end > start && bytes[end - 1] === 0x0d) end--
    const header = line === 1 && HEADER.every((byte, i) => bytes[start + i] === byte)
    if (end > start && !header) {
      if (merges.length === MAX_MERGES) {
        throw new FileFormatError(file, 'file', `has more than ${MAX_MERGES} merges.`)
      }
      const from = halves.at
      halves.reserve(end - start).set(bytes.subarray(start, end), from)
      halves.at += end - start
      splitMerge(halves, from, (part, message) => {
        throw new FileFormatError(file, `line ${line}${part}`, message)
      })
    }
    start = next
  }
  return merges
}
