// shakti-tokenizer decode

import { OK, UsageError, text } from './command.js'
import type { Command } from './command.js'
import { inputs, linesOf, loadTokenizer } from './input.js'

export const decode: Command = {
  summary: 'ids to text',
  help: `shakti-tokenizer decode TOKENIZER [FILE...] [options]

Writes the text of ids: integers with blanks or commas between them, or what 'encode --json' writes.
TOKENIZER is a folder or a tokenizer.json.

  --ids IDS         decode these instead of files or standard input
  --lines           each line of ids is a text of its own
  --skip-special    leave special tokens out
  --json            one JSON object a text: { text }

Examples
  shakti-tokenizer decode runs/tokenizer --ids '72 101 108'
  shakti-tokenizer encode t notes.txt | shakti-tokenizer decode t`,
  options: {
    ids: { type: 'string' },
    lines: { type: 'boolean' },
    'skip-special': { type: 'boolean' },
  },

  async run(args, { stdin, stdout }) {
    const [path, ...files] = args.positionals
    const tokenizer = await loadTokenizer(path)
    const options = { skipSpecialTokens: args.values['skip-special'] === true }
    const show = (source: string, end: string): void => {
      const ids = parseIds(source)
      if (args.values.json === true) {
        stdout.write(`${JSON.stringify({ text: tokenizer.decode(ids, options) })}\n`)
      } else stdout.write(tokenizer.decode(ids, options) + end)
    }
    const given = text(args, 'ids')
    if (given !== undefined) {
      show(given, '\n')
      return OK
    }
    for await (const { bytes } of inputs(files, stdin)) {
      const source = bytes.toString('utf8')
      const byLine = args.values.lines === true || source.trimStart().startsWith('{')
      if (byLine) for (const line of linesOf(source)) show(line, '\n')
      else show(source, '') // what was encoded had its own end
    }
    return OK
  },
}

function parseIds(source: string): number[] {
  const line = source.trim()
  if (line.startsWith('{')) {
    const { ids } = JSON.parse(line) as { ids?: unknown }
    if (Array.isArray(ids) && ids.every((id) => typeof id === 'number')) return ids
    throw new UsageError(`no ids in ${line.slice(0, 40)}. { "ids": [...] } is expected.`)
  }
  const words = line.replace(/^\[|\]$/g, '').split(/[\s,]+/)
  return words.flatMap((word) => {
    if (word === '') return []
    if (/^\d{1,10}$/.test(word)) return [Number(word)]
    throw new UsageError(`${JSON.stringify(word.slice(0, 40))} is no id.`)
  })
}
