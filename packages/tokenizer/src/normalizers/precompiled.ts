// sentencepiece's compiled rules: a double-array trie (Darts) over UTF-8 and the texts it points into.

import type { Aligned } from '../text/aligned.js'
import type { NormalizerKind } from './index.js'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const MAX_BYTES = 2 ** 24

export const precompiled: NormalizerKind = (read, part, path) => {
  read.only(part, path, ['type', 'precompiled_charsmap'])
  const field = `${path}.precompiled_charsmap`
  const encoded: unknown = part.precompiled_charsmap
  if (encoded === null || encoded === undefined || encoded === '') return (text) => text
  if (typeof encoded !== 'string' || encoded.length > (MAX_BYTES * 4) / 3) {
    return read.fail(field, `is not Base64 of at most ${MAX_BYTES} bytes.`)
  }
  let bytes: Uint8Array
  try {
    bytes = Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0))
  } catch {
    return read.fail(field, 'is not Base64.')
  }
  const view = new DataView(bytes.buffer)
  const size = bytes.length < 4 ? 0 : view.getUint32(0, true)
  if (bytes.length < 4 || size % 4 !== 0 || size > bytes.length - 4) {
    read.fail(field, `says that its trie has ${size} bytes; it has ${bytes.length} in all.`)
  }
  const units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true))
  const texts = bytes.subarray(4 + size)
  return charsMap(units, texts)
}

/** Graphemes of less than six bytes are looked up whole, else character by character, as sentencepiece's port does. */
function charsMap(units: Uint32Array, texts: Uint8Array): (text: Aligned) => Aligned {
  const known = new Map<string, string | null>()
  /** What a piece of text becomes, or null where no rule begins it. */
  const lookUp = (chunk: string): string | null => {
    let found = known.get(chunk)
    if (found === undefined) {
      found = shortestPrefix(units, texts, encoder.encode(chunk))
      if (known.size > 1 << 16) known.clear()
      known.set(chunk, found)
    }
    return found
  }
  return (text) => {
    const edit = text.edit()
    const put = (at: number, chunk: string): boolean => {
      const becomes = lookUp(chunk)
      if (becomes === null) return false
      if (becomes !== chunk) edit.replace(at, at + chunk.length, becomes)
      return true
    }
    for (const [at, grapheme] of graphemes(text.text)) {
      if (grapheme.length < 6 && utf8Length(grapheme) < 6 && put(at, grapheme)) continue
      let i = at
      for (const char of grapheme) {
        put(i, char)
        i += char.length
      }
    }
    return edit.result()
  }
}

function utf8Length(text: string): number {
  let length = 0
  for (const char of text) {
    const c = char.codePointAt(0)!
    length += c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4
  }
  return length
}

let segmenter: Intl.Segmenter | undefined

/** Grapheme clusters with their places; runs of ASCII are cut by hand, which is far faster. */
function* graphemes(text: string): Generator<[at: number, grapheme: string]> {
  const ascii = (i: number): boolean => text.charCodeAt(i) < 0x80
  let at = 0
  while (at < text.length) {
    // An ASCII character before another stands alone, but for \r\n.
    while (ascii(at) && (at + 1 === text.length || ascii(at + 1))) {
      const width = text.startsWith('\r\n', at) ? 2 : 1
      yield [at, text.slice(at, at + width)]
      at += width
    }
    if (at >= text.length) return
    let end = at + 1
    while (end < text.length && !ascii(end)) end++
    // The ASCII character after them may still belong to the last cluster.
    segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' })
    for (const { segment, index } of segmenter.segment(text.slice(at, end + 1))) {
      if (at + index >= end) break
      yield [at + index, segment]
      if (at + index + segment.length > end) end++
    }
    at = end
  }
}

/** The text of the first rule on the way down the trie, as the port takes it. */
function shortestPrefix(units: Uint32Array, texts: Uint8Array, key: Uint8Array): string | null {
  const offset = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6)
  let node = 0
  if (units.length === 0) return null
  node ^= offset(units[0]!)
  for (const byte of key) {
    if (byte === 0) return null
    node ^= byte
    const unit = units[node] ?? 0x80000000
    if ((unit & 0x800000ff) >>> 0 !== byte) return null
    node ^= offset(unit)
    if (((unit >>> 8) & 1) === 1) {
      const start = (units[node] ?? 0) & 0x7fffffff
      let end = start
      while (end < texts.length && texts[end] !== 0) end++
      return start >= texts.length ? '' : decoder.decode(texts.subarray(start, end))
    }
  }
  return null
}
