// Read the handwriting: the three stages on real MNIST digits, a second witness that they work.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { manualSeed } from '@shakti/tensor'
import { Tokenizer } from '@shakti/tokenizer'
import {
  causal,
  collate,
  cosine,
  generated,
  random,
  run,
  type Sample,
  type Stage,
  type StageResult,
  type TokenBatch,
} from '@shakti/trainer'
import { generateBatch, savePretrained, ShaktiVlm, type EncodedImage } from '@shakti/vlm'
import {
  ask,
  caption,
  cardInWords,
  corpus,
  describe,
  dialogue,
  makeCard,
  patch,
  questionTypes,
  type Question,
} from './cards.js'
import { loadDigits } from './digits.js'

const help = `Trains a small Shakti-VLM to read coloured handwritten digits (MNIST) and scores it on digits it has never seen.

  npm run handwriting -- [--seed N] [--out DIR] [--steps-scale F] [--quiet] [--json]

  npm run handwriting -- --seed 2`

type Batch = TokenBatch<EncodedImage>

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      out: { type: 'string' },
      'steps-scale': { type: 'string', default: '1' },
      quiet: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean' },
    },
  })
  if (values.help) return console.log(help)
  const seed = Number(values.seed)
  const scale = Number(values['steps-scale'])
  if (!Number.isSafeInteger(seed) || seed < 0 || !(scale > 0))
    throw new Error(`--seed must be an integer from 0 and --steps-scale above 0.\n\n${help}`)
  const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')
  const out =
    values.out === undefined
      ? join(root, 'runs/handwriting')
      : resolve(process.env['INIT_CWD'] ?? '.', values.out)
  const started = performance.now()
  manualSeed(seed)
  const training = loadDigits('train')
  const testing = loadDigits('t10k')
  const tokenizer = Tokenizer.train(corpus(), { vocabSize: 384 })
  const imageToken = tokenizer.tokenToId('<|image|>')!
  const end = tokenizer.tokenToId('<|end_of_turn|>')!
  const pad = tokenizer.tokenToId('<|pad|>')!
  const model = new ShaktiVlm({
    vision: {
      layers: 6,
      preNormLayers: 2,
      width: 64,
      heads: 4,
      mlp: 128,
      patchSizes: [patch],
      basePatch: patch,
      posGrid: 8,
      maxPatches: 32,
    },
    projector: { merge: 2 },
    decoder: {
      layers: 3,
      width: 64,
      heads: 4,
      kvHeads: [4, 2, 1],
      ffn: 128,
      vocab: tokenizer.vocabSize,
      tied: true,
      context: 256,
      ropeTheta: 10_000,
    },
    imageToken,
  })
  if (!values.quiet)
    console.error(
      `model ${model.numParameters().toLocaleString('en')} parameters, tokenizer ${tokenizer.vocabSize} tokens`,
    )

  const loss = causal<ShaktiVlm, Batch>({
    hidden: (m, b) => m.forward(b),
    head: (m, h) => m.logits(h),
  })
  const together = (samples: readonly Sample<EncodedImage>[]): Batch =>
    collate(samples, { padId: pad, multipleOf: 8 })
  const turns = (card: Parameters<typeof ask>[0], next: () => number) =>
    questionTypes.map((t) => ask(card, t, next)).map((q) => ({ user: q.text, assistant: q.answer }))
  const steps = (n: number): number => Math.max(1, Math.round(n * scale))
  const n = 48

  const stages: Stage<ShaktiVlm, Batch>[] = [
    {
      name: 'language',
      train: ['decoder.*'],
      lr: 4e-3,
      weightDecay: 0.1,
      schedule: cosine({ warmup: 0.03 }),
      steps: steps(300),
      loss,
      data: generated(
        (_, next) =>
          together(
            Array.from({ length: n }, () => {
              const card = cardInWords(next)
              const all = turns(card, next)
              return dialogue(tokenizer, [
                { user: `${caption(card)}\n${all[0]!.user}`, assistant: all[0]!.assistant },
                ...all.slice(1),
              ])
            }),
          ),
        { seed },
      ),
    },
    {
      name: 'alignment',
      train: ['vision.*', 'projector.*'],
      freeze: ['decoder.*'],
      lr: 3e-3,
      weightDecay: 0.05,
      schedule: cosine({ warmup: 0.03, final: 0.02 }),
      steps: steps(900),
      loss,
      check: { kind: 'alignment' },
      data: generated((step) =>
        together(
          Array.from({ length: n }, (_, i) => {
            const card = makeCard(training, seed, step * n + i, true)
            return dialogue(tokenizer, [{ user: describe, assistant: caption(card) }], card.image)
          }),
        ),
      ),
    },
    {
      name: 'instruction',
      lr: { 'vision.*': 5e-4, '*': 1e-3 },
      schedule: cosine({ warmup: 0.03, final: 0.02 }),
      steps: steps(300),
      loss,
      data: generated(
        (step, next) =>
          together(
            Array.from({ length: n }, (_, i) => {
              const card = makeCard(training, seed + 1, step * n + i, true)
              return dialogue(tokenizer, turns(card, next), card.image)
            }),
          ),
        { seed },
      ),
    },
  ]
  const results: StageResult[] = []
  for (const stage of stages) {
    const result = await run(stage, { model, quiet: values.quiet })
    results.push(result)
    if (!values.quiet)
      console.error(
        `${stage.name.padEnd(11)} loss ${result.finalLoss.toFixed(3)}, ${result.seconds.toFixed(1)} s`,
      )
  }

  // Test cards: digits of the official test split alone.
  const asked = Array.from({ length: 300 }, (_, i) => {
    const card = makeCard(testing, 12_345, i, false)
    const next = random(54_321, i)
    return questionTypes.map((t) => ({ card, question: ask(card, t, next) }))
  }).flat()
  const answer = async (
    control: 'none' | 'blank' | 'wrong',
  ): Promise<{ accuracy: number; byType: Record<string, number> }> => {
    const right: { question: Question; ok: boolean }[] = []
    for (let i = 0; i < asked.length; i += 100) {
      const part = asked.slice(i, i + 100)
      const prompts = part.map(({ card, question }, k) => {
        const other = asked[(i + k + Math.floor(asked.length / 2)) % asked.length]!.card.image
        const image =
          control === 'wrong'
            ? other
            : control === 'blank'
              ? { ...card.image, pixels: new Float32Array(card.image.pixels.length) }
              : card.image
        const { ids } = tokenizer.applyChatTemplate(
          [{ role: 'user', content: [{ type: 'image' }, { type: 'text', text: question.text }] }],
          {
            addGenerationPrompt: true,
            imageTokens: [8],
          },
        )
        return { ids, images: [image] }
      })
      const outputs = await generateBatch(model, prompts, {
        stopTokens: [end],
        maxTokens: 8,
        padId: pad,
      })
      outputs.forEach((ids, k) =>
        right.push({
          question: part[k]!.question,
          ok: tokenizer.decode(ids) === part[k]!.question.answer,
        }),
      )
    }
    const share = (list: typeof right): number => list.filter((r) => r.ok).length / list.length
    return {
      accuracy: share(right),
      byType: Object.fromEntries(
        questionTypes.map((t) => [t, share(right.filter((r) => r.question.type === t))]),
      ),
    }
  }
  const test = await answer('none')
  const blank = await answer('blank')
  const wrong = await answer('wrong')
  const summary = {
    accuracy: test.accuracy,
    byType: test.byType,
    blankImageAccuracy: blank.accuracy,
    wrongImageAccuracy: wrong.accuracy,
    seed,
    parameters: model.numParameters(),
    seconds: Math.round((performance.now() - started) / 100) / 10,
    stages: results.map(({ stage, finalLoss, seconds }) => ({ stage, finalLoss, seconds })),
  }
  await mkdir(out, { recursive: true })
  await savePretrained(model, join(out, 'model'))
  await tokenizer.save(join(out, 'model'))
  await writeFile(join(out, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`)
  if (values.json) return console.log(JSON.stringify(summary, null, 2))
  const percent = (x: number): string => `${(100 * x).toFixed(1)} %`.padStart(9)
  console.log(
    `\n${''.padEnd(10)}${['unseen', 'blank', 'wrong'].map((t) => t.padStart(9)).join('')}`,
  )
  for (const t of questionTypes)
    console.log(t.padEnd(10) + [test, blank, wrong].map((s) => percent(s.byType[t]!)).join(''))
  console.log('all'.padEnd(10) + [test, blank, wrong].map((s) => percent(s.accuracy)).join(''))
  console.log(`\n${summary.seconds} s in all; ${join(out, 'summary.json')}`)
}

await main()
