// What Metaspace says of itself, as a pre-tokenizer and as a decoder.

import type { JsonObject, Reader } from './reader.js'

const SCHEMES = ['always', 'never', 'first'] as const

export interface Metaspace {
  /** What stands for a space, usually ▁. */
  readonly replacement: string
  /** Where a text gets one in front of it. */
  readonly scheme: (typeof SCHEMES)[number]
  /** What older files say in the place of `prepend_scheme`; true where they do not. */
  readonly addPrefixSpace: boolean
}

export function readMetaspace(read: Reader, part: JsonObject, path: string): Metaspace {
  read.only(part, path, [
    'type',
    'replacement',
    'prepend_scheme',
    'split',
    'add_prefix_space',
    'str_rep',
  ])
  const replacement = read.character(part.replacement ?? '▁', `${path}.replacement`)
  const addPrefixSpace = read.boolean(part.add_prefix_space, `${path}.add_prefix_space`, true)
  const scheme = read.choice(
    part.prepend_scheme ?? (addPrefixSpace ? 'always' : 'never'),
    `${path}.prepend_scheme`,
    SCHEMES,
  )
  return { replacement, scheme, addPrefixSpace }
}
