import { readMetaspace } from '../files/metaspace.js'
import { eachToken } from './index.js'
import type { DecoderKind } from './index.js'

/** A suffix such as </w> marks words' ends: a space, but at the end of all. */
export const bpeDecoder: DecoderKind = (read, part, path) => {
  read.only(part, path, ['type', 'suffix'])
  const suffix = read.text(part.suffix ?? '</w>', `${path}.suffix`, true)
  const replaced = (token: string, by: string): string =>
    suffix === '' ? token : token.replaceAll(suffix, by)
  return (emit) => {
    let held: string | undefined
    return {
      token: (text) => {
        if (held !== undefined) emit(replaced(held, ' '))
        held = text
      },
      end: () => {
        if (held !== undefined) emit(replaced(held, ''))
        held = undefined
      },
    }
  }
}

/** Blanks before punctuation and English contractions, as BERT's detokenizer removes them. */
export function cleanedUp(text: string): string {
  return text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(' do not', " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re")
}

/** Speech models': repeats are one, the padding token is nothing. */
export const ctc: DecoderKind = (read, part, path) => {
  read.only(part, path, ['type', 'pad_token', 'word_delimiter_token', 'cleanup'])
  const pad = read.text(part.pad_token ?? '<pad>', `${path}.pad_token`)
  const delimiter = read.text(part.word_delimiter_token ?? '|', `${path}.word_delimiter_token`)
  const cleanup = read.boolean(part.cleanup, `${path}.cleanup`, true)
  return (emit) => {
    let last: string | undefined
    return {
      token: (text) => {
        if (text === last) return
        last = text
        const plain = text.replaceAll(pad, '')
        const token = cleanup ? cleanedUp(plain).replaceAll(delimiter, ' ') : plain
        if (token !== '') emit(token)
      },
      end: () => {},
    }
  }
}

/** All tokens become one. */
export const fuse: DecoderKind = (read, part, path) => {
  read.only(part, path, ['type'])
  return (emit) => {
    const held: string[] = []
    return {
      token: (text) => {
        held.push(text)
      },
      end: () => {
        emit(held.join(''))
        held.length = 0
      },
    }
  }
}

/** ▁ becomes a space; in the first token, where it was put before the text, nothing. */
export const metaspace: DecoderKind = (read, part, path) => {
  const { replacement, scheme } = readMetaspace(read, part, path)
  return eachToken((token, index) =>
    token.replaceAll(replacement, index === 0 && scheme !== 'never' ? '' : ' '),
  )
}

export const replace: DecoderKind = (read, part, path) => {
  read.only(part, path, ['type', 'pattern', 'content'])
  const pattern = read.pattern(part.pattern, `${path}.pattern`)
  const content = read.text(part.content, `${path}.content`, true)
  return eachToken((token) => {
    const found = pattern.matches(token)
    if (found.length === 0) return token
    let out = ''
    let done = 0
    for (let i = 0; i < found.length; i += 2) {
      out += token.slice(done, found[i]) + content
      done = found[i + 1]!
    }
    return out + token.slice(done)
  })
}

/** Up to `start` of a character at each token's beginning, and up to `stop` at its end. */
export const strip: DecoderKind = (read, part, path) => {
  read.only(part, path, ['type', 'content', 'start', 'stop'])
  const content = read.character(part.content, `${path}.content`)
  const most = read.integer(part.start, `${path}.start`, 0, 2 ** 16)
  const mostAtEnd = read.integer(part.stop, `${path}.stop`, 0, 2 ** 16)
  const width = content.length
  return eachToken((token) => {
    let start = 0
    for (let n = 0; n < most && token.startsWith(content, start); n++) start += width
    let end = token.length
    for (let n = 0; n < mostAtEnd && end - width >= start; n++) {
      if (!token.startsWith(content, end - width)) break
      end -= width
    }
    return token.slice(start, end)
  })
}

/** BERT's: ## goes on a word, all else begins one. */
export const wordPiece: DecoderKind = (read, part, path) => {
  read.only(part, path, ['type', 'prefix', 'cleanup'])
  const prefix = read.text(part.prefix ?? '##', `${path}.prefix`, true)
  const cleanup = read.boolean(part.cleanup, `${path}.cleanup`, true)
  return eachToken((token, index) => {
    let text = token
    if (index > 0) text = token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`
    return cleanup ? cleanedUp(text) : text
  })
}
