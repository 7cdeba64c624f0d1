import { tokenToBytes } from '../text/alphabet.js'
import type { DecoderKind } from './index.js'

const encoder = new TextEncoder()
const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/
const REPLACEMENT = '\ufffd'

/** Tokens in the byte alphabet; one with other characters stands for itself. */
export const byteLevel: DecoderKind = (read, part, path) => {
  read.only(part, path, ['type', 'add_prefix_space', 'trim_offsets', 'use_regex'])
  return (emit) => {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    return {
      token: (text) =>
        emit(decoder.decode(tokenToBytes(text) ?? encoder.encode(text), { stream: true })),
      end: () => emit(decoder.decode()),
    }
  }
}

/** Runs of tokens such as <0xE2>: their text where they are UTF-8, else U+FFFD for each. */
export const byteFallback: DecoderKind = (read, part, path) => {
  read.only(part, path, ['type'])
  return (emit) => {
    const held: number[] = []
    const flush = (): void => {
      if (held.length === 0) return
      const bytes = Uint8Array.from(held)
      held.length = 0
      try {
        emit(new TextDecoder('utf-8', { ignoreBOM: true, fatal: true }).decode(bytes))
      } catch {
        for (let i = 0; i < bytes.length; i++) emit(REPLACEMENT)
      }
    }
    return {
      token: (text) => {
        const byte = BYTE_TOKEN.exec(text)
        if (byte !== null) held.push(parseInt(byte[1]!, 16))
        else {
          flush()
          emit(text)
        }
      },
      end: flush,
    }
  }
}
