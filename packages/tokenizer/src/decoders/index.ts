// How tokens become text again, by the `type` of each part of a tokenizer.json. Each part is a transducer: it takes
// tokens one at a time and gives on what is certain, so that decoding all at once and decoding as ids come are one.

import { kindOf, partsOf } from '../files/reader.js'
import type { JsonObject, Reader } from '../files/reader.js'
import { byteFallback, byteLevel } from './bytes.js'
import { bpeDecoder, ctc, fuse, metaspace, replace, strip, wordPiece } from './texts.js'

export type Emit = (token: string) => void

/** One run over a row of tokens. */
export interface Run {
  token(text: string): void
  /** No more tokens come; what was held back is given on. */
  end(): void
}

/** Starts a run that gives its tokens to `emit`. */
export type Decoder = (emit: Emit) => Run

export type DecoderKind = (read: Reader, part: JsonObject, path: string) => Decoder

const KINDS: Readonly<Record<string, DecoderKind>> = {
  BPEDecoder: bpeDecoder,
  ByteFallback: byteFallback,
  ByteLevel: byteLevel,
  CTC: ctc,
  Fuse: fuse,
  Metaspace: metaspace,
  Replace: replace,
  Sequence: sequence,
  Strip: strip,
  WordPiece: wordPiece,
}

/** The file's decoder; without one, tokens are joined by spaces. */
export function readDecoder(read: Reader, value: unknown, path: string): Decoder {
  if (value === undefined || value === null)
    return eachToken((token, i) => (i === 0 ? '' : ' ') + token)
  const part = read.object(value, path)
  return kindOf(read, part, path, KINDS)(read, part, path)
}

function sequence(read: Reader, part: JsonObject, path: string): Decoder {
  const parts = partsOf(read, part, path, 'decoders', 64, (one, place) =>
    readDecoder(read, one, place),
  )
  const values = part.decoders as JsonObject[]
  // What is emitted is joined in the end: a Fuse with nothing after it changes nothing, and would hold all back.
  const last = values[values.length - 1]
  if (last?.type === 'Fuse') parts.pop()
  // Fuse and Strip at the beginning, as in Llama's files: the same without holding all back.
  const [before, strip] = values.slice(-2) as (JsonObject | undefined)[]
  if (before?.type === 'Fuse' && strip?.type === 'Strip' && strip.stop === 0) {
    parts.splice(-2, 2, stripOnce(strip.content as string, strip.start as number))
  }
  return (emit) => {
    const runs: Run[] = []
    let to = emit
    for (const decoder of [...parts].reverse()) {
      const run = decoder(to)
      runs.unshift(run)
      to = (token) => run.token(token)
    }
    const first = to
    return {
      token: (text) => first(text),
      end: () => {
        for (const run of runs) run.end()
      },
    }
  }
}

/** Drops up to `count` of `content` at the beginning of all tokens together. */
function stripOnce(content: string, count: number): Decoder {
  return (emit) => {
    let left = count
    return {
      token: (text) => {
        let from = 0
        while (left > 0 && text.startsWith(content, from)) {
          from += content.length
          left--
        }
        if (from < text.length) left = 0
        emit(text.slice(from))
      },
      end: () => {},
    }
  }
}

/** A decoder that changes each token by itself and its place. */
export function eachToken(change: (token: string, index: number) => string): Decoder {
  return (emit) => {
    let index = 0
    return { token: (text) => emit(change(text, index++)), end: () => {} }
  }
}
