// shakti describe

import { flag, OK, printable, text, UsageError } from '@shakti/tokenizer/command-line'
import {
  answerHelp,
  answerOptions,
  answerOptionsOf,
  Assistant,
  costOf,
  onTerminal,
} from './assistant.js'
import type { Command } from './io.js'
import { modelFolder } from './presets.js'

export const describe: Command = {
  summary: 'what a model says about images',
  help: `shakti describe DIR IMAGE... [options]

Asks a model about each image (JPEG, PNG, WebP, GIF, TIFF, HEIF, AVIF) and streams what it says.

  --prompt TEXT              the question (Describe this image.)
  --json                     one JSON object an image: { image, text, finish, usage, timing }, times in milliseconds
${answerHelp}

Examples
  shakti describe models/1b photo.jpg
  shakti describe models/1b *.png --prompt 'What does the sign say?' --json`,
  options: { prompt: { type: 'string' }, ...answerOptions },

  async run(args, io) {
    const folder = await modelFolder(args)
    const files = args.positionals.slice(1)
    if (files.length === 0) throw new UsageError('no image is given. Files are expected.')
    const options = answerOptionsOf(args)
    const question = text(args, 'prompt') ?? 'Describe this image.'
    const signal = io.interrupts.begin()
    const assistant = await Assistant.load(folder, args, io, signal)
    const json = flag(args, 'json')
    for (const file of files) {
      const image = await assistant.image(file)
      const asked = assistant.prompt(
        [{ role: 'user', content: [{ type: 'image' }, { type: 'text', text: question }] }],
        [image],
      )
      if (!json && files.length > 1) io.stdout.write(`${printable(file)}\n`)
      const answer = await assistant.answer(asked, options, signal, (piece) => {
        if (!json) io.stdout.write(onTerminal(piece))
      })
      signal.throwIfAborted()
      if (json) io.stdout.write(`${JSON.stringify({ image: file, ...answer })}\n`)
      else {
        io.stdout.write('\n')
        io.stderr.write(`${costOf(answer)}\n`)
      }
    }
    return OK
  },
}
