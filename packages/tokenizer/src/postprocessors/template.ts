import { brief } from '../errors.js'
import type { JsonObject, Reader } from '../files/reader.js'
import { specialColumns, withType } from './index.js'
import type { PostProcessor, Tokens } from './index.js'

/** A text (0 or 1) or special tokens, and the type of both. */
type Piece =
  | { readonly text: number; readonly typeId: number }
  | { readonly ids: readonly number[]; readonly typeId: number }

/** Special tokens around one text or two, as a list of pieces says. */
export function template(
  read: Reader,
  part: JsonObject,
  path: string,
  tokens: Tokens,
): PostProcessor {
  read.only(part, path, ['type', 'single', 'pair', 'special_tokens'])
  const specials = readSpecials(read, part.special_tokens, `${path}.special_tokens`, tokens)
  const single = readPieces(read, part.single, `${path}.single`, specials)
  const pair = readPieces(read, part.pair, `${path}.pair`, specials)
  if (!single.some((piece) => 'text' in piece) || single.some((p) => 'text' in p && p.text === 1)) {
    read.fail(`${path}.single`, 'must have the text A, and B must not be in it.')
  }
  for (const text of [0, 1]) {
    if (!pair.some((piece) => 'text' in piece && piece.text === text)) {
      read.fail(`${path}.pair`, 'must have the texts A and B.')
    }
  }
  const piecesFor = (texts: number): readonly Piece[] => (texts === 1 ? single : pair)
  return {
    added: (texts) =>
      piecesFor(texts).reduce((n, piece) => n + ('ids' in piece ? piece.ids.length : 0), 0),
    process: (texts, addSpecial) =>
      piecesFor(texts.length).flatMap((piece) => {
        if ('text' in piece) return [withType(texts[piece.text]!, piece.typeId)]
        return addSpecial ? [specialColumns(piece.ids, piece.typeId)] : []
      }),
  }
}

function readSpecials(
  read: Reader,
  value: unknown,
  path: string,
  tokens: Tokens,
): ReadonlyMap<string, readonly number[]> {
  const specials = new Map<string, readonly number[]>()
  for (const [name, entry] of Object.entries(read.object(value ?? {}, path))) {
    const place = `${path}[${brief(name)}]`
    const special = read.object(entry, place)
    read.only(special, place, ['id', 'ids', 'tokens'])
    const ids = read.array(special.ids, `${place}.ids`, 64).map((id, i) => {
      const known = read.id(id, `${place}.ids[${i}]`)
      if (tokens.tokenOf(known) === undefined) {
        read.fail(`${place}.ids[${i}]`, `is ${known}, which the vocabulary does not have.`)
      }
      return known
    })
    specials.set(name, ids)
  }
  return specials
}

function readPieces(
  read: Reader,
  value: unknown,
  path: string,
  specials: ReadonlyMap<string, readonly number[]>,
): Piece[] {
  return read.array(value, path, 64).map((entry, i): Piece => {
    const place = `${path}[${i}]`
    const piece = read.object(entry, place)
    read.only(piece, place, ['SpecialToken', 'Sequence'])
    const kind = piece.Sequence === undefined ? 'SpecialToken' : 'Sequence'
    const inner = read.object(piece[kind], `${place}.${kind}`)
    read.only(inner, `${place}.${kind}`, ['id', 'type_id'])
    const typeId = read.integer(inner.type_id ?? 0, `${place}.${kind}.type_id`, 0, 2 ** 16)
    const field = `${place}.${kind}.id`
    if (kind === 'Sequence') {
      return { text: read.choice(inner.id, field, ['A', 'B']) === 'A' ? 0 : 1, typeId }
    }
    const name = read.text(inner.id, field)
    const ids = specials.get(name)
    if (ids === undefined) read.fail(field, `is ${brief(name)}, which special_tokens lacks.`)
    return { ids, typeId }
  })
}
