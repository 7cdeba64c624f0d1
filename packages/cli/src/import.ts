// shakti import

import { Tokenizer } from '@shakti/tokenizer'
import {
  byteCount,
  choice,
  flag,
  integer,
  list,
  number,
  OK,
  size,
  table,
  text,
  UsageError,
} from '@shakti/tokenizer/command-line'
import type { Arguments } from '@shakti/tokenizer/command-line'
import { countParameters, decoderConfigOf, importPretrained, partsOf } from '@shakti/vlm'
import type { ImportReport, PretrainedImport, PretrainedSources } from '@shakti/vlm'
import { withProgress } from './io.js'
import type { Command } from './io.js'
import { modelFolder, noMore, outFolder, presetNames, presets } from './presets.js'
import { byteTokenizer, checkVocabulary, imageTokenOf, tokenizerIn } from './tokenizers.js'

// What public tokenizers call it.
const imageTokens = ['<|image|>', '<|image_pad|>', '<image>', '<IMG_CONTEXT>', '[IMG]']

export const importModel: Command = {
  summary: 'a Shakti-VLM of public checkpoints: a decoder, an encoder, or both',
  help: `shakti import FROM --out DIR [options]

FROM is a folder in Hugging Face's layout: a decoder (Llama, Mistral, Qwen 2, Qwen 3), an encoder (SigLIP, SigLIP 2,
InternViT), or both (LLaVA, InternVL). DIR becomes a Shakti-VLM with them, the part that FROM lacks from elsewhere, and a
projector that has learned nothing: the start for training it. A decoder computes what it did, so chat answers text; an
encoder starts from weights that fit, and the report says in what it differs. It takes memory for one
tensor; FROM is mapped, not read.

  --out DIR            where to write
  --vision FOLDER      take the encoder of this checkpoint
  --decoder FOLDER     take the decoder of this checkpoint
  --preset NAME        the part that FROM lacks is that of this model, random: ${presetNames.join(', ')}
  --merge N            N x N patches become a token (2)
  --seed N             of what is random (0)
  --dtype TYPE         bf16, f16 or f32 (that of the decoder's embedding; bf16 without one)
  --tokenizer PATH     a folder or tokenizer.json, instead of the decoder's own
  --image-token TEXT   the token that stands for an image (${imageTokens.join(', ')}, where there is one)
  --ignore-field NAME  a field of config.json that is known to change nothing; may be repeated
  --shard-bytes SIZE   the weights are split above this size (2g)
  --force              replace a model that is there
  --json               report as JSON, with every name

Examples
  shakti import Qwen3-0.6B --vision siglip2-base-patch16-512 --out models/vlm
  shakti import Qwen3-0.6B --preset shakti-vlm-1b --seed 1 --out models/vlm
  shakti import InternVL3-1B-hf --out models/vlm --json`,
  options: {
    out: { type: 'string' },
    vision: { type: 'string' },
    decoder: { type: 'string' },
    preset: { type: 'string' },
    merge: { type: 'string' },
    seed: { type: 'string' },
    dtype: { type: 'string' },
    tokenizer: { type: 'string' },
    'image-token': { type: 'string' },
    'ignore-field': { type: 'string', multiple: true },
    'shard-bytes': { type: 'string' },
    force: { type: 'boolean' },
  },

  async run(args, io) {
    const from = await modelFolder(args)
    noMore(args, 1)
    const out = await outFolder(text(args, 'out'), flag(args, 'force'))
    const shardBytes = byteCount(args, 'shard-bytes')
    const dtype = choice(args, 'dtype', ['bf16', 'f16', 'f32'])
    const seed = integer(args, 'seed') ?? 0
    const sources = await sourcesOf(args, from)
    const ignoreFields = list(args, 'ignore-field') ?? []
    const { tokenizer, own } = await tokenizerFor(args, sources.decoder)
    const { vocab } =
      typeof sources.decoder === 'string'
        ? await decoderConfigOf(sources.decoder, { ignoreFields })
        : sources.decoder
    if (tokenizer) checkVocabulary(tokenizer, vocab, 'the tokenizer')
    const imageToken = tokenizer && imageTokenOf(args, tokenizer, imageTokens)
    const signal = io.interrupts.begin()
    const began = performance.now()
    const result = await withProgress(io, 'writing', (onProgress) =>
      importPretrained(
        out,
        { ...sources, ...(imageToken === undefined ? {} : { imageToken }) },
        {
          seed,
          onProgress,
          signal,
          ignoreFields,
          ...(dtype === undefined ? {} : { dtype }),
          ...(shardBytes === undefined ? {} : { shardBytes }),
        },
      ),
    )
    if (!own) await tokenizer?.save(out)
    const seconds = (performance.now() - began) / 1000
    io.stdout.write(
      flag(args, 'json')
        ? `${JSON.stringify({ from, out, seconds, ...result, tokens: tokenizer?.vocabSize ?? null, imageToken: imageToken ?? null })}\n`
        : report(out, sources, result, tokenizer, seconds),
    )
    return OK
  },
}

/** Where each part comes from. */
async function sourcesOf(args: Arguments, from: string): Promise<PretrainedSources> {
  const has = await partsOf(from)
  const preset = choice(args, 'preset', presetNames)
  if (!has.decoder && !has.vision)
    throw new UsageError(
      `${from} is no checkpoint that can be imported: its model_type is not known. --help lists what is.`,
    )
  const folder = (name: 'decoder' | 'vision'): string | undefined =>
    text(args, name) ?? (has[name] ? from : undefined)
  const given = { decoder: folder('decoder'), vision: folder('vision') }
  const lacking = Object.entries(given).find(([, path]) => path === undefined)
  if (lacking && preset === undefined)
    throw new UsageError(
      `${from} has no ${lacking[0] === 'vision' ? 'encoder' : 'decoder'} that can be imported. Say where it comes from: --${lacking[0]} FOLDER, or --preset NAME for a random one.`,
    )
  if (!lacking && preset !== undefined)
    throw new UsageError('--preset is for a part that is missing; decoder and encoder are given.')
  const random = presets[preset ?? 'nano']
  const merge = integer(args, 'merge')
  return {
    decoder: given.decoder ?? random.decoder,
    vision: given.vision ?? random.vision,
    ...(merge === undefined ? {} : { merge }),
  }
}

/** The tokenizer that the model gets; `own` when it is the decoder's, whose files are copied as they are. */
async function tokenizerFor(
  args: Arguments,
  decoder: PretrainedSources['decoder'],
): Promise<{ tokenizer: Tokenizer | undefined; own: boolean }> {
  const path = text(args, 'tokenizer')
  if (path !== undefined) return { tokenizer: await Tokenizer.fromPretrained(path), own: false }
  if (typeof decoder !== 'string') return { tokenizer: byteTokenizer(), own: false }
  return { tokenizer: await tokenizerIn(decoder), own: true }
}

const countOf = (list: readonly unknown[]): string => number(list.length)

function report(
  out: string,
  { decoder, vision }: PretrainedSources,
  result: PretrainedImport,
  tokenizer: Tokenizer | undefined,
  seconds: number,
): string {
  const { config, dtype, fresh } = result
  const counts = countParameters(config)
  const bytes = counts.total * (dtype === 'f32' ? 4 : 2)
  const row = (name: string, from: unknown, prefix: string, r?: ImportReport): string[] => {
    const mine = fresh.filter((key) => key.startsWith(prefix))
    return r
      ? [
          name,
          `${String(from)} (${r.family})`,
          countOf(r.mapped),
          countOf(r.renamed),
          number(r.converted.reduce((n, c) => n + c.to.length, 0)),
          countOf(mine),
          countOf(r.ignored),
        ]
      : [name, '-', '0', '0', '0', countOf(mine), '0']
  }
  const parts = table([
    ['part', 'from', 'as it is', 'renamed', 'converted', 'initial values', 'left out'],
    row('decoder', decoder, 'language_model.', result.decoder),
    row('encoder', vision, 'vision_tower.', result.vision),
    row('projector', undefined, 'multi_modal_projector.'),
  ])
  const reasons = new Map<string, number>()
  for (const r of [result.decoder, result.vision])
    for (const { reason } of r?.ignored ?? []) reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
  const { imageToken } = config
  return (
    `${out}: ${number(counts.total)} parameters in ${dtype}, ${size(bytes)}, in ${seconds.toFixed(1)} s\n\n${parts}\n` +
    Array.from(reasons, ([reason, n]) => `left out, ${number(n)}: ${reason}\n`).join('') +
    (result.vision?.differences ?? []).map((d) => `encoder differs: ${d}\n`).join('') +
    (tokenizer
      ? `tokenizer: ${number(tokenizer.vocabSize)} tokens of a vocabulary of ${number(config.decoder.vocab)}` +
        `${imageToken === undefined ? '; no image token, so it takes text alone' : `, image token ${imageToken}`}\n`
      : 'no tokenizer: chat and describe need a tokenizer.json in the folder\n')
  )
}
