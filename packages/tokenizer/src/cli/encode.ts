// shakti-tokenizer encode

import { OK, list, text } from './command.js'
import type { Command } from './command.js'
import { inputs, linesOf, loadTokenizer } from './input.js'
import { Progress, Rate } from './progress.js'
import { size } from './table.js'

export const encode: Command = {
  summary: 'text to ids',
  help: `shakti-tokenizer encode TOKENIZER [FILE...] [options]

Writes the ids of each file, or of standard input, on a line. TOKENIZER is a folder or a tokenizer.json.

  --text TEXT          encode this text instead
  --lines              each line is a text of its own
  --tokens             the tokens in place of their ids
  --count              only how many there are
  --allow-special T    let the text spell the special token T; may be repeated; 'all' for all
  --json               one JSON object a text: { file, ids } (and tokens, count)

Examples
  shakti-tokenizer encode runs/tokenizer --text 'Hello'
  cat README.md | shakti-tokenizer encode runs/tokenizer --count
  shakti-tokenizer encode runs/tokenizer questions.txt --lines --json`,
  options: {
    text: { type: 'string' },
    lines: { type: 'boolean' },
    tokens: { type: 'boolean' },
    count: { type: 'boolean' },
    'allow-special': { type: 'string', multiple: true },
  },

  async run(args, { stdin, stdout, stderr }) {
    const [path, ...files] = args.positionals
    const tokenizer = await loadTokenizer(path)
    const { json, lines, tokens, count } = args.values
    const allowed = list(args, 'allow-special') ?? []
    const allowSpecial = allowed.includes('all') ? ('all' as const) : allowed
    const progress = new Progress(stderr)
    const show = (file: string, source: string, onProgress?: (done: number) => void): void => {
      const ids = tokenizer.encode(source, { allowSpecial, ...(onProgress && { onProgress }) })
      if (onProgress !== undefined) progress.stop() // before anything is written
      const names = tokens === true ? ids.map((id) => tokenizer.idToToken(id) ?? '') : undefined
      if (json === true) {
        const what =
          count === true ? { count: ids.length } : { ids, ...(names && { tokens: names }) }
        stdout.write(`${JSON.stringify({ file, ...what })}\n`)
      } else {
        stdout.write(`${count === true ? ids.length : (names ?? ids).join(' ')}\n`)
      }
    }
    const given = text(args, 'text')
    if (given !== undefined) {
      show('--text', given)
      return OK
    }
    for await (const { name, bytes } of inputs(files, stdin)) {
      const source = bytes.toString('utf8')
      const rate = new Rate('encoding', source.length, (n) => `${size(n)}/s`)
      if (lines !== true) {
        show(name, source, (done) => progress.update(rate.at(done)))
        continue
      }
      let done = 0
      for (const line of linesOf(source)) {
        show(name, line)
        done += line.length + 1
        progress.update(rate.at(done))
      }
    }
    progress.stop()
    return OK
  },
}
