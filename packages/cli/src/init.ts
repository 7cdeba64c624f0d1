// shakti init

import { Tokenizer } from '@shakti/tokenizer'
import {
  byteCount,
  choice,
  flag,
  integer,
  number,
  OK,
  size,
  text,
  UsageError,
} from '@shakti/tokenizer/command-line'
import type { Arguments } from '@shakti/tokenizer/command-line'
import { countParameters, initPretrained } from '@shakti/vlm'
import { withProgress } from './io.js'
import type { Command } from './io.js'
import { noMore, outFolder, presetNames, presets } from './presets.js'
import { byteTokenizer, checkVocabulary, imageTokenOf } from './tokenizers.js'

export const init: Command = {
  summary: 'a folder with random weights, to train or to measure',
  help: `shakti init --preset NAME --out DIR [options]

Writes a model with random weights, shard by shard, and a tokenizer. No trained Shakti weights are public: such a model
answers with noise, at the speed and in the memory of a trained one.

  --preset NAME        ${presetNames.join(', ')}
  --out DIR            where to write
  --seed N             the same seed gives the same weights (0)
  --dtype TYPE         bf16 or f32 (bf16)
  --tokenizer PATH     a folder or tokenizer.json to copy (256 bytes and the special tokens of our chat format)
  --image-token TEXT   the token that stands for an image (<|image|>)
  --shard-bytes SIZE   the weights are split above this size (2g)
  --force              replace a model that is there
  --json               report as JSON

Examples
  shakti init --preset nano --out /tmp/nano
  shakti init --preset shakti-vlm-1b --seed 1 --out models/1b --tokenizer runs/tokenizer`,
  options: {
    preset: { type: 'string' },
    out: { type: 'string' },
    seed: { type: 'string' },
    dtype: { type: 'string' },
    tokenizer: { type: 'string' },
    'image-token': { type: 'string' },
    'shard-bytes': { type: 'string' },
    force: { type: 'boolean' },
  },

  async run(args, io) {
    noMore(args, 0)
    const preset = choice(args, 'preset', presetNames)
    if (preset === undefined)
      throw new UsageError(`--preset is missing: one of ${presetNames.join(', ')}.`)
    const out = await outFolder(text(args, 'out'), flag(args, 'force'))
    const seed = integer(args, 'seed') ?? 0
    const dtype = choice(args, 'dtype', ['bf16', 'f32']) ?? 'bf16'
    const shardBytes = byteCount(args, 'shard-bytes')
    const { vocab } = presets[preset].decoder
    const { tokenizer, imageToken } = await tokenizerFor(args, vocab)
    const config = { ...presets[preset], ...(imageToken === undefined ? {} : { imageToken }) }
    const signal = io.interrupts.begin()
    const began = performance.now()
    await withProgress(io, 'writing', (onProgress) =>
      initPretrained(out, config, {
        seed,
        dtype,
        onProgress,
        signal,
        ...(shardBytes === undefined ? {} : { shardBytes }),
      }),
    )
    await tokenizer.save(out)
    const seconds = (performance.now() - began) / 1000
    const { total } = countParameters(config)
    const bytes = total * (dtype === 'f32' ? 4 : 2)
    const tokens = tokenizer.vocabSize
    io.stdout.write(
      flag(args, 'json')
        ? `${JSON.stringify({ out, preset, seed, dtype, parameters: total, bytes, tokens, imageToken: imageToken ?? null, seconds })}\n`
        : `${out}: ${number(total)} random parameters in ${dtype}, ${size(bytes)}, in ${seconds.toFixed(1)} s\n` +
            `tokenizer: ${number(tokens)} tokens of a vocabulary of ${number(vocab)}` +
            `${imageToken === undefined ? '; no image token, so it takes text alone' : `, image token ${imageToken}`}\n`,
    )
    return OK
  },
}

async function tokenizerFor(
  args: Arguments,
  vocab: number,
): Promise<{ tokenizer: Tokenizer; imageToken: number | undefined }> {
  const path = text(args, 'tokenizer')
  const tokenizer = path === undefined ? byteTokenizer() : await Tokenizer.fromPretrained(path)
  checkVocabulary(tokenizer, vocab, `--tokenizer ${path}`)
  return { tokenizer, imageToken: imageTokenOf(args, tokenizer, ['<|image|>']) }
}
