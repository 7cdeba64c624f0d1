// What a tokenizer.json does to a text before it cuts it, by the `type` of each part.

import { kindOf, partsOf } from '../files/reader.js'
import type { JsonObject, Reader } from '../files/reader.js'
import type { Aligned } from '../text/aligned.js'
import { bert } from './bert.js'
import { lowercase, nmt, prepend, replace, strip, stripAccents } from './characters.js'
import { composition } from './composition.js'
import { precompiled } from './precompiled.js'
import { byteLevel } from './byte-level.js'

export type Normalizer = (text: Aligned) => Aligned

/** Reads one kind of part; `path` is its place in the file. */
export type NormalizerKind = (read: Reader, part: JsonObject, path: string) => Normalizer

const KINDS: Readonly<Record<string, NormalizerKind>> = {
  BertNormalizer: bert,
  ByteLevel: byteLevel,
  Lowercase: lowercase,
  NFC: composition('NFC'),
  NFD: composition('NFD'),
  NFKC: composition('NFKC'),
  NFKD: composition('NFKD'),
  Nmt: nmt,
  Precompiled: precompiled,
  Prepend: prepend,
  Replace: replace,
  Sequence: sequence,
  Strip: strip,
  StripAccents: stripAccents,
}

const MAX_PARTS = 64

/** The file's normalizer, or null. */
export function readNormalizer(read: Reader, value: unknown, path: string): Normalizer | null {
  if (value === undefined || value === null) return null
  const part = read.object(value, path)
  return kindOf(read, part, path, KINDS)(read, part, path)
}

function sequence(read: Reader, part: JsonObject, path: string): Normalizer {
  const parts = partsOf(read, part, path, 'normalizers', MAX_PARTS, (one, place) =>
    readNormalizer(read, one, place)!,
  )
  return (text) => parts.reduce((t, normalizer) => normalizer(t), text)
}
