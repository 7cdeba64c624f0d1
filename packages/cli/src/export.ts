// shakti export

import { choice, flag, number, OK, size, text, UsageError } from '@shakti/tokenizer/command-line'
import { exportGguf } from '@shakti/vlm'
import type { GgufType } from '@shakti/vlm'
import { withProgress } from './io.js'
import type { Command } from './io.js'
import { modelFolder, noMore } from './presets.js'

export const ggufTypes: readonly GgufType[] = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0']

export const exportModel: Command = {
  summary: 'the decoder as a GGUF file for llama.cpp',
  help: `shakti export DIR --out FILE.gguf [options]

Writes the decoder of a folder as a GGUF file: of a Shakti-VLM that is not quantised, or of a Llama, Mistral, Qwen 2 or
Qwen 3 checkpoint in Hugging Face's layout. The file is whole or not there.

  --out FILE    the file
  --type TYPE   of the matrices: ${ggufTypes.join(', ')} (q8_0)
  --head TYPE   of the embedding and the output matrix (q8_0 with q4_0, else as --type)
  --json        report as JSON

Examples
  shakti export models/1b --out 1b-q8_0.gguf
  shakti export Qwen3-0.6B --out qwen.gguf --type bf16`,
  options: { out: { type: 'string' }, type: { type: 'string' }, head: { type: 'string' } },

  async run(args, io) {
    const type = choice(args, 'type', ggufTypes) ?? 'q8_0'
    const head = choice(args, 'head', ggufTypes)
    const out = text(args, 'out')
    const folder = await modelFolder(args)
    noMore(args, 1)
    if (out === undefined) throw new UsageError('--out is missing: the file to write.')
    const signal = io.interrupts.begin()
    const report = await withProgress(io, 'writing', (onProgress) =>
      exportGguf(folder, out, { type, onProgress, signal, ...(head ? { head } : {}) }),
    )
    const { architecture, tensors, bytes, notes } = report
    io.stdout.write(
      flag(args, 'json')
        ? `${JSON.stringify({ out, type, architecture, tensors, bytes, notes })}\n`
        : `${out}: ${architecture}, ${type}, ${number(tensors)} tensors, ${size(bytes)}\n` +
            notes.map((note) => `note: ${note}\n`).join(''),
    )
    return OK
  },
}
