// shakti-tokenizer inspect

import type { Tokenizer } from '../node/tokenizer.js'
import { OK, text } from './command.js'
import type { Command } from './command.js'
import { loadTokenizer } from './input.js'
import { scriptOf } from './scripts.js'
import { number, paints, printable, table } from './table.js'

export const inspect: Command = {
  summary: 'what a tokenizer is made of, and how it cuts a text',
  help: `shakti-tokenizer inspect TOKENIZER [options]

Shows a tokenizer's parts, sizes, special tokens, longest tokens and the scripts it covers.
TOKENIZER is a folder or a tokenizer.json.

  --text TEXT    also show how this text is cut
  --longest N    how many of the longest tokens to show (10)
  --json         as JSON

Examples
  shakti-tokenizer inspect runs/tokenizer
  shakti-tokenizer inspect runs/tokenizer --text 'नमस्ते दुनिया'`,
  options: { text: { type: 'string' }, longest: { type: 'string' } },

  async run(args, { stdout, colours }) {
    const tokenizer = await loadTokenizer(args.positionals[0])
    const facts = describe(tokenizer, Number(text(args, 'longest') ?? 10))
    const given = text(args, 'text')
    const pieces = given === undefined ? undefined : cut(tokenizer, given)
    if (args.values.json === true) {
      stdout.write(`${JSON.stringify({ ...facts, ...(pieces && { pieces }) }, null, 2)}\n`)
      return OK
    }
    const { bold, dim, pieces: shades } = paints(colours)
    const list = (title: string, rows: readonly (readonly (string | number)[])[]): string =>
      rows.length === 0 ? '' : `\n${bold(title)}\n${table(rows, '  ')}`
    stdout.write(table(Object.entries(facts.parts).map(([name, what]) => [bold(name), what])))
    stdout.write(
      list(
        'Sizes',
        Object.entries(facts.sizes).map(([name, n]) => [name, number(n)]),
      ),
    )
    stdout.write(
      list(
        'Special tokens',
        facts.specialTokens.map(({ id, token, use }) => [id, printable(token), dim(use)]),
      ),
    )
    stdout.write(
      list(
        'Longest tokens',
        facts.longest.map(({ id, token, bytes }) => [id, `${bytes} B`, JSON.stringify(token)]),
      ),
    )
    stdout.write(
      list(
        'Tokens by script',
        facts.scripts.map(({ script, tokens }) => [script, number(tokens)]),
      ),
    )
    if (pieces !== undefined) {
      const shown = pieces.map(({ text: piece }, i) => {
        const paint = shades[i % shades.length]!
        return colours ? paint(printable(piece)) : printable(piece)
      })
      stdout.write(`\n${bold(`${pieces.length} tokens`)}\n  ${shown.join(colours ? '' : '|')}\n`)
      stdout.write(
        table(
          pieces.map(({ id, text: piece }) => [id, JSON.stringify(piece)]),
          '  ',
        ),
      )
    }
    return OK
  },
}

interface Facts {
  readonly parts: Record<string, string>
  readonly sizes: Record<string, number>
  readonly specialTokens: readonly { id: number; token: string; use: string }[]
  readonly longest: readonly { id: number; token: string; bytes: number }[]
  readonly scripts: readonly { script: string; tokens: number }[]
}

function describe(tokenizer: Tokenizer, longest: number): Facts {
  const file = tokenizer.toJSON() as Record<string, unknown>
  const model = (file.model ?? {}) as Record<string, unknown>
  const uses = new Map<string | null, string>([
    [tokenizer.bosToken, 'bos'],
    [tokenizer.eosToken, 'eos'],
    [tokenizer.padToken, 'pad'],
  ])
  const texts: { id: number; token: string; bytes: number }[] = []
  const scripts = new Map<string, number>()
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    if (tokenizer.idToToken(id) === undefined || tokenizer.isSpecial(id)) continue
    const token = tokenizer.decode([id])
    texts.push({ id, token, bytes: tokenizer.decodeBytes([id]).length })
    const script = token.includes('\ufffd') ? 'part of a character' : (scriptOf(token) ?? 'none')
    scripts.set(script, (scripts.get(script) ?? 0) + 1)
  }
  texts.sort((a, b) => b.bytes - a.bytes || a.id - b.id)
  return {
    parts: {
      normalizer: part(file.normalizer),
      'pre-tokenizer': part(file.pre_tokenizer),
      model: part({ ...model, vocab: undefined, merges: undefined }),
      'post-processor': part(file.post_processor),
      decoder: part(file.decoder),
      'chat templates': tokenizer.chatTemplates.join(', ') || 'none',
    },
    sizes: {
      ids: tokenizer.vocabSize,
      merges: Array.isArray(model.merges) ? model.merges.length : 0,
      'added tokens': Array.isArray(file.added_tokens) ? file.added_tokens.length : 0,
      'special tokens': tokenizer.specialTokens.length,
    },
    specialTokens: tokenizer.specialTokens.map((token) => ({
      id: tokenizer.tokenToId(token)!,
      token,
      use: uses.get(token) ?? '',
    })),
    longest: texts.slice(0, longest),
    scripts: Array.from(scripts, ([script, tokens]) => ({ script, tokens })).sort(
      (a, b) => b.tokens - a.tokens,
    ),
  }
}

/** A part of tokenizer.json on a line: its type, then what it sets; a Sequence as its parts. */
function part(value: unknown): string {
  if (typeof value !== 'object' || value === null) return 'none'
  const { type, ...fields } = value as Record<string, unknown>
  const parts = fields.pretokenizers ?? fields.normalizers ?? fields.processors ?? fields.decoders
  if (Array.isArray(parts)) return parts.map(part).join(' → ')
  const set = Object.entries(fields)
    .filter(([, field]) => field !== undefined && field !== null && field !== false && field !== '')
    .map(([name, field]) => (field === true ? name : `${name} ${shortened(field)}`))
  return `${String(type)}${set.length > 0 ? ` (${set.join(', ')})` : ''}`
}

function shortened(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > 100 ? `${text.slice(0, 97)}...` : text
}

/** The text of each token; bytes that are no whole character are shown as \xNN. */
function cut(tokenizer: Tokenizer, source: string): { id: number; text: string }[] {
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  return tokenizer.encode(source).map((id) => {
    const bytes = tokenizer.decodeBytes([id])
    try {
      return { id, text: strict.decode(bytes) }
    } catch {
      return {
        id,
        text: Array.from(bytes, (b) => `\\x${b.toString(16).padStart(2, '0')}`).join(''),
      }
    }
  })
}
