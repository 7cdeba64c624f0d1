import { prefixed } from '../normalizers/characters.js'
import type { Aligned } from '../text/aligned.js'
import { cut, matchesOf } from './split.js'
import type { PreTokenizerKind } from './index.js'

const SCHEMES = ['always', 'never', 'first'] as const

/** sentencepiece's words: spaces become ▁, which begins a word. */
export const metaspace: PreTokenizerKind = (read, part, path) => {
  read.only(part, path, [
    'type',
    'replacement',
    'prepend_scheme',
    'split',
    'add_prefix_space',
    'str_rep',
  ])
  const replacement = read.character(part.replacement ?? '▁', `${path}.replacement`)
  // Older files say add_prefix_space in the place of prepend_scheme.
  const old = read.boolean(part.add_prefix_space, `${path}.add_prefix_space`, true)
  const scheme = read.choice(
    part.prepend_scheme ?? (old ? 'always' : 'never'),
    `${path}.prepend_scheme`,
    SCHEMES,
  )
  if (!old && scheme !== 'never') {
    read.fail(`${path}.add_prefix_space`, `is false, but prepend_scheme is "${scheme}".`)
  }
  const splits = read.boolean(part.split, `${path}.split`, true)
  const marks = new RegExp(replacement.replace(/[\\^$.*+?()[\]{}|/-]/, '\\$&'), 'gu')
  return (text) => {
    const marked = spacesReplaced(text, replacement)
    const wants =
      !marked.text.startsWith(replacement) &&
      (scheme === 'always' || (scheme === 'first' && marked.atStart))
    const whole = wants ? prefixed(marked, replacement) : marked
    return splits ? cut(whole, matchesOf(whole.text, marks), 'MergedWithNext') : [whole]
  }
}

function spacesReplaced(text: Aligned, replacement: string): Aligned {
  if (!text.text.includes(' ')) return text
  const edit = text.edit()
  if (text.tracked) {
    for (let i = text.text.indexOf(' '); i >= 0; i = text.text.indexOf(' ', i + 1)) {
      edit.replace(i, i + 1, replacement)
    }
  } else edit.replace(0, text.length, text.text.replaceAll(' ', replacement))
  return edit.result()
}
