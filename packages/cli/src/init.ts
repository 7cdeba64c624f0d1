// shakti init

import { DEFAULT_SPECIAL_TOKENS, Tokenizer } from '@shakti/tokenizer'
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
  const wanted = text(args, 'image-token')
  // Trained on nothing: each byte is a token, so any text can be read and written.
  const tokenizer =
    path === undefined
      ? Tokenizer.train([], { vocabSize: 256 + DEFAULT_SPECIAL_TOKENS.length })
      : await Tokenizer.fromPretrained(path)
  if (tokenizer.vocabSize > vocab)
    throw new UsageError(
      `--tokenizer ${path} has ${number(tokenizer.vocabSize)} tokens, the model's vocabulary ${number(vocab)}. A smaller one is expected.`,
    )
  const imageToken = tokenizer.tokenToId(wanted ?? '<|image|>')
  if (wanted !== undefined && (imageToken === undefined || !tokenizer.isSpecial(imageToken)))
    throw new UsageError(
      `--image-token ${JSON.stringify(wanted)} is no special token of the tokenizer, which has ${tokenizer.specialTokens.slice(0, 12).join(' ')}.`,
    )
  return { tokenizer, imageToken }
}
