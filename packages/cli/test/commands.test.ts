import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Tokenizer } from '@shakti/tokenizer'
import { countParameters, fromPretrained, tiny1B } from '@shakti/vlm'
import { onTerminal } from '../src/assistant.js'
import { caseOf, writeCheckpoint } from '../../shakti-vlm/test/checkpoints.js'
import { run } from './run.js'

const names = ['init', 'import', 'inspect', 'quantize', 'chat', 'describe', 'bench', 'export']

const test = suite<{ dir: string; nano: string; tiny: string; png: string }>('shakti', {
  dir: '',
  nano: '',
  tiny: '',
  png: '',
})

test.before(async (context) => {
  context.dir = await mkdtemp(join(tmpdir(), 'shakti-command-'))
  context.nano = join(context.dir, 'nano')
  context.tiny = join(context.dir, 'tiny')
  context.png = join(context.dir, 'a.png')
  for (const [preset, out] of [
    ['nano', context.nano],
    ['tiny-1b', context.tiny],
  ] as const) {
    const { code, err } = await run(['init', '--preset', preset, '--seed', '1', '--out', out])
    assert.is(code, 0, err)
  }
  await sharp({ create: { width: 20, height: 12, channels: 3, background: '#a04020' } })
    .png()
    .toFile(context.png)
})
test.after(({ dir }) => rm(dir, { recursive: true }))

test('help names the commands, and each command has help with examples', async () => {
  const { code, out } = await run(['--help'])
  assert.is(code, 0)
  for (const name of names) {
    assert.match(out, name)
    const own = await run([name, '--help'])
    assert.is(own.code, 0)
    assert.match(own.out, /Examples\n/)
    assert.match(own.out, `  shakti ${name} `)
  }
})

test('wrong arguments exit with 2 and say what would be right', async ({ nano, dir, png }) => {
  const wrong: [string[], RegExp][] = [
    [[], /COMMAND/],
    [['no'], /no is no command/],
    [['init', '--out', dir], /--preset is missing: one of shakti-vlm-4b/],
    [['init', '--preset', 'giant', '--out', dir], /"giant"\. One of/],
    [['init', '--preset', 'nano'], /--out is missing/],
    [['init', '--preset', 'nano', '--out', nano], /holds a model already.*--force/],
    [['init', '--preset', 'nano', '--out', join(dir, 'x'), '--dtype', 'f8'], /bf16, f32/],
    [['init', '--preset', 'nano', '--out', join(dir, 'x'), '--image-token', 'no'], /no special/],
    [['inspect'], /no model is given/],
    [['inspect', dir], /no config\.json/],
    [['inspect', nano, 'more'], /"more" is one argument too many/],
    [['inspect', nano, '--preset', 'nano'], /exclude each other/],
    [['inspect', nano, '--image', 'large'], /896x896/],
    [['quantize', nano, '--out', join(dir, 'x')], /--bits is missing/],
    [['quantize', nano, '--bits', '5', '--out', join(dir, 'x')], /8, 4/],
    [['quantize', nano, '--bits', '8', '--out', join(dir, 'x'), '--perplexity', '/no'], /ENOENT/],
    [['describe', nano], /no image is given/],
    [['describe', nano, png, '--temperature', 'hot'], /"hot"\. A number/],
    [['chat', nano, '--kv', 'f8'], /f32, bf16, i8/],
    [['chat', nano, '--nope'], /nope/],
    [['chat', nano, '--draft', dir], /no config\.json/],
    [['chat', nano, '--draft', nano, '--lookup', '2'], /exclude each other/],
    [['describe', nano, png, '--draft-tokens', '2'], /needs --draft or --lookup/],
    [['bench', nano, '--prefill', '0'], /At least 1/],
    [['bench', nano, '--prefill', '100', '--decode', '100'], /context of 128/],
    [['bench', nano, '--gguf', 'x'], /need --peer/],
    [['bench', nano, '--peer', 'other'], /llama\.cpp/],
    [['export', nano], /--out is missing/],
    [['import', nano], /--out is missing/],
    [
      ['import', nano, '--out', join(dir, 'x'), '--preset', 'nano'],
      /decoder and encoder are given/,
    ],
    [['import', nano, '--out', nano], /holds a model already/],
    [['import', nano, '--out', join(dir, 'x'), '--image-token', 'no'], /no special/],
    [['export', nano, '--out', 'x', '--type', 'q9'], /q4_0/],
  ]
  for (const [argv, wanted] of wrong) {
    const { code, err } = await run(argv)
    assert.is(code, 2, `${argv.join(' ')}: ${err}`)
    assert.match(err, wanted)
  }
})

test('what fails exits with 1 and one line', async ({ nano, dir }) => {
  const bare = join(dir, 'bare')
  await mkdir(bare)
  await writeFile(join(bare, 'config.json'), await readFile(join(nano, 'config.json')))
  for (const argv of [
    ['inspect', bare],
    ['describe', nano, join(dir, 'no.png')],
    ['describe', nano, join(nano, 'config.json')],
    ['describe', nano, 'x.png', '--top-p', '7'],
    ['chat', bare],
    ['export', nano, '--out', join(dir, 'x.gguf')], // rows of 48 are no blocks of 32
    ['bench', nano, '--peer', 'llama.cpp'],
  ]) {
    const { code, err, out } = await run(argv, { cwd: dir })
    assert.is(code, 1, `${argv.join(' ')}: ${err}`)
    assert.is(out, '')
    assert.is(err.trimEnd().split('\n').length, 1, err)
  }
  assert.not.ok((await readdir(dir)).includes('x.gguf'))
})

test('init writes what a seed says, with a tokenizer that knows the image token', async ({
  nano,
  dir,
}) => {
  const again = join(dir, 'again')
  const argv = ['init', '--preset', 'nano', '--seed', '1', '--out', again, '--json']
  const { parameters, tokens, imageToken } = JSON.parse((await run(argv)).out)
  assert.is(parameters, 79_408)
  const weights = (folder: string) => readFile(join(folder, 'model.safetensors'))
  assert.ok((await weights(nano)).equals(await weights(again)))
  const tokenizer = await Tokenizer.fromPretrained(again)
  assert.is(tokenizer.vocabSize, tokens)
  assert.is(tokenizer.tokenToId('<|image|>'), imageToken)
  assert.is((await fromPretrained(again)).config.imageToken, imageToken)

  const copied = join(dir, 'copied')
  const own = Tokenizer.train(['low lower lowest'], { vocabSize: 300, specialTokens: ['<pic>'] })
  await own.save(join(dir, 'own'))
  const from = ['--tokenizer', join(dir, 'own'), '--image-token', '<pic>']
  const made = await run(['init', '--preset', 'nano', '--out', copied, '--dtype', 'f32', ...from])
  assert.is(made.code, 0, made.err)
  const model = await fromPretrained(copied)
  assert.is(model.config.imageToken, own.tokenToId('<pic>'))
  assert.is(model.decoder.model.embedTokens.weight.dtype, 'f32')
})

test('init refuses a tokenizer that is larger than the vocabulary', async ({ dir }) => {
  const large = Tokenizer.train(['abcdefgh '.repeat(20), 'bcdefgha'.repeat(20)], {
    vocabSize: 330,
    specialTokens: Array.from({ length: 70 }, (_, i) => `<|${i}|>`),
  })
  await large.save(join(dir, 'large'))
  const out = join(dir, 'never')
  const argv = ['init', '--preset', 'nano', '--out', out, '--tokenizer', join(dir, 'large')]
  const { code, err } = await run(argv)
  assert.is(code, 2)
  assert.match(err, /tokens, the model's vocabulary 320/)
  assert.not.ok((await readdir(dir)).includes('never'))
})

test('Ctrl-C while a model is written leaves nothing and exits with 130', async ({ dir }) => {
  const { code, err } = await run(['init', '--preset', 'nano', '--out', join(dir, 'stopped')], {
    interrupted: true,
  })
  assert.is(code, 130)
  assert.is(err, 'shakti init: interrupted.\n')
  assert.not.ok((await readdir(dir)).includes('stopped'))
})

test('import makes a model of a decoder and an encoder, which answers about an image', async ({
  nano,
  dir,
  png,
}) => {
  const siglip = await writeCheckpoint(join(dir, 'siglip'), caseOf('siglip2, in'))
  const out = join(dir, 'imported')
  const lacking = await run(['import', siglip, '--out', out])
  assert.is(lacking.code, 2)
  assert.match(lacking.err, /no decoder.*--decoder FOLDER, or --preset/)
  assert.not.ok((await readdir(dir)).includes('imported'))

  const made = await run(['import', siglip, '--decoder', nano, '--out', out])
  assert.is(made.code, 0, made.err)
  assert.match(made.out, /encoder +.*siglip \(siglip2_vision_model\)/)
  assert.match(made.out, /projector +- +0 +0 +0 +6 +0/)
  assert.match(made.out, 'encoder differs: our GELU is exact')
  assert.match(made.out, 'tokenizer: 265 tokens of a vocabulary of 320, image token 263')
  const answer = await run(['describe', out, png, '--max-tokens', '4', '--json'])
  assert.is(answer.code, 0, answer.err)
  assert.is(JSON.parse(answer.out).usage.generated, 4)

  const argv = ['import', siglip, '--preset', 'nano', '--merge', '1', '--out', join(dir, 'half')]
  const json = JSON.parse((await run([...argv, '--json'])).out)
  assert.is(json.decoder, undefined)
  assert.is(json.vision.family, 'siglip2_vision_model')
  assert.is(json.config.projector.merge, 1)
  assert.ok(json.fresh.includes('language_model.model.norm.weight'))
})

test('what import cannot take is named, in one line, and nothing is written', async ({
  dir,
  nano,
}) => {
  const odd = join(dir, 'odd')
  await mkdir(odd)
  const from = caseOf('llama, yarn')
  await writeCheckpoint(odd, { ...from, config: { ...from.config, attention_bias: true } })
  const argv = ['import', odd, '--vision', nano, '--out', join(dir, 'never')]
  const { code, err } = await run(argv)
  assert.is(code, 1)
  assert.match(err, /attention_bias: is true; only false can be imported/)
  assert.not.ok((await readdir(dir)).includes('never'))
  await writeCheckpoint(odd, { ...from, config: { ...from.config, model_type: 'gpt2' } })
  const other = await run(argv)
  assert.is(other.code, 2)
  assert.match(other.err, /model_type/)
})

test('inspect counts the parameters, puts equal layers in a row, and budgets memory', async ({
  tiny,
}) => {
  const { out } = await run(['inspect', tiny, '--depth', '4', '--image', '48x48'])
  assert.match(out, '1,036,608 parameters, bf16')
  assert.match(out, /0\.\.1 +2 x TransformerBlock/)
  assert.match(out, /norm1\n|weight +bf16 \[128\]/)
  assert.match(out, /an image of 48 x 48/)
  const { model, memory, config } = JSON.parse((await run(['inspect', tiny, '--json'])).out)
  assert.is(model.parameters, 1_036_608)
  assert.is(config.decoder.context, 512)
  assert.ok(memory.int4.weights < memory.int8.weights && memory.bf16.weights < memory.f32.weights)
  const short = JSON.parse((await run(['inspect', tiny, '--json', '--positions', '64'])).out)
  assert.ok(short.memory.bf16.kvCache < memory.bf16.kvCache)

  const preset = await run(['inspect', '--preset', 'shakti-vlm-4b'])
  assert.match(preset.out, 'shakti-vlm-4b: 3,998,093,056 parameters')
})

test('quantize reports errors and perplexity, and describe answers from what it wrote', async ({
  tiny,
  dir,
  png,
}) => {
  const out = join(dir, 'tiny8')
  const text = join(dir, 'text.txt')
  await writeFile(text, 'the cat sat on the mat. '.repeat(10))
  const argv = ['quantize', tiny, '--bits', '8', '--group', '32', '--out', out]
  const { code, out: report, err } = await run([...argv, '--perplexity', text, '--json'])
  const inspected = JSON.parse((await run(['inspect', out, '--json'])).out)
  assert.is(inspected.memory.stored.weights, inspected.model.bytes)
  assert.is(code, 0, err)
  const { layers, error, perplexity, group } = JSON.parse(report)
  assert.is(group, 32)
  assert.ok(layers.length > 50 && error > 0 && error < 0.02, String(error))
  assert.is(perplexity.tokens, 239)
  assert.ok(Math.abs(perplexity.after / perplexity.before - 1) < 0.02)
  assert.match((await run(['inspect', out])).out, '8 bits in groups of 32')

  const answer = await run(['describe', out, png, '--max-tokens', '6', '--json'])
  assert.is(answer.code, 0, answer.err)
  const { image, finish, usage, timing } = JSON.parse(answer.out)
  assert.is(image, png)
  assert.is(finish, 'length')
  assert.is(usage.generated, 6)
  assert.ok(usage.visual > 0 && usage.prompt > usage.visual)
  assert.ok(timing.encode > 0 && timing.firstToken > 0)
})

test('describe streams the same text that --json holds, and one seed gives one text', async ({
  tiny,
  png,
}) => {
  const argv = ['describe', tiny, png, '--max-tokens', '8', '--temperature', '1', '--seed', '3']
  const json = await run([...argv, '--json'])
  const { text } = JSON.parse(json.out)
  const streamed = await run(argv)
  assert.is(streamed.code, 0, streamed.err)
  // Control characters, of which noise has some, do not reach the terminal.
  assert.is(streamed.out, `${onTerminal(text)}\n`)
  assert.match(streamed.err, /tokens read, \d+ of images; \d+ written/)
  assert.is((await run([...argv, '--json'])).out.split('"usage"')[0], json.out.split('"usage"')[0])
})

test('bench reports rates, memory and the share of bandwidth as a table and as JSON', async ({
  tiny,
  dir,
}) => {
  const file = join(dir, 'bench.json')
  const argv = ['bench', tiny, '--prefill', '32', '--decode', '8', '--rounds', '2', '--json', file]
  const { code, out, err } = await run([...argv, '--image', '24x24'])
  assert.is(code, 0, err)
  assert.match(out, /prefill \d+ tokens +[\d,.]+ tokens\/s/)
  assert.match(out, /vision encoder/)
  const report = JSON.parse(await readFile(file, 'utf8'))
  const { ours, work, machine, peers } = report
  assert.is(ours.rounds.length, 2)
  assert.is(work.decode, 8)
  // Tied: the table is the output matrix, which every token reads.
  assert.is(ours.weightBytesPerToken, 2 * countParameters(tiny1B).decoder)
  // 12 heads of 32 over all layers, keys and values in bf16, half of what is written on the average.
  assert.is(ours.cacheBytesPerToken, (work.positions - 1 - work.decode / 2) * 12 * 32 * 2 * 2)
  for (const n of [ours.prefill, ours.decode, ours.firstToken, ours.encode, ours.peakMemory])
    assert.ok(n > 0)
  assert.ok(machine.bandwidth > 1e8 && ours.shareOfBandwidth > 0)
  assert.equal(peers, [])
})

test.run()
