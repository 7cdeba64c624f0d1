// Read the handwriting: the three stages on real MNIST digits, a second witness that they work.
import { mkdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { deviceInfo, manualSeed, setFloat32MatmulPrecision, writeAtomically } from '@shakti/tensor'
import { Tokenizer } from '@shakti/tokenizer'
import { run, type Stage, type StageResult } from '@shakti/trainer'
import { countParameters, savePretrained, ShaktiVlm } from '@shakti/vlm'
import { loadDigits } from './digits.js'
import { askAbout, score } from './evaluation.js'
import { chanceLevels, corpus, questionTypes } from './questions.js'
import { recipe as defaults, type Recipe } from './recipe.js'
import { writeReport } from './report.js'
import { buildStages } from './stages.js'
import { Chat, merge } from './tokens.js'

const help = `Trains a small Shakti-VLM to read coloured handwritten digits (MNIST) and scores it on digits it has never seen.

  npm run handwriting -- [options]

  --out DIR        run folder (default runs/handwriting)
  --seed N         seed of everything random (default ${defaults.seed})
  --steps-scale F  every stage takes F times its steps (default 1)
  --quiet          no progress
  --json           print the summary as JSON
  --help

  npm run handwriting -- --seed 2 --out runs/handwriting2
  npm run handwriting -- --steps-scale 0.2 --out runs/short
  npm run handwriting -- --quiet --json`

function usage(message: string): never {
  console.error(`${message}\n\n${help}`)
  process.exit(2)
}

interface Options {
  out: string
  recipe: Recipe
  quiet: boolean
  json: boolean
}

function options(): Options {
  const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')
  let v
  try {
    v = parseArgs({
      options: {
        out: { type: 'string' },
        seed: { type: 'string', default: String(defaults.seed) },
        'steps-scale': { type: 'string', default: '1' },
        quiet: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean' },
      },
    }).values
  } catch (error) {
    return usage((error as Error).message)
  }
  if (v.help) {
    console.log(help)
    process.exit(0)
  }
  const seed = Number(v.seed)
  if (v.seed === '' || !Number.isSafeInteger(seed) || seed < 0)
    usage(`--seed must be an integer from 0, got '${v.seed}'.`)
  const scale = Number(v['steps-scale'])
  if (!(scale > 0 && scale <= 100))
    usage(`--steps-scale must be a number above 0 and up to 100, got '${v['steps-scale']}'.`)
  const scaled = <S extends { steps: number }>(s: S): S => ({
    ...s,
    steps: Math.max(1, Math.round(s.steps * scale)),
  })
  const { language, naming, alignment, instruction } = defaults
  return {
    // npm runs this in the example's folder; paths of the user's are meant from where they typed.
    out:
      v.out === undefined
        ? join(root, 'runs/handwriting')
        : resolve(process.env['INIT_CWD'] ?? '.', v.out),
    recipe: {
      ...defaults,
      seed,
      language: { ...scaled(language), lessons: Math.round(language.lessons * scale) },
      naming: scaled(naming),
      alignment: scaled(alignment),
      instruction: scaled(instruction),
    },
    quiet: v.quiet,
    json: v.json,
  }
}

const percent = (x: number): string => `${(100 * x).toFixed(1)} %`

async function main(): Promise<void> {
  const { out, recipe, quiet, json } = options()
  const { seed } = recipe
  const say = (text: string): void => {
    if (!quiet) console.error(text)
  }
  const seconds: Record<string, number> = {}
  let lap = performance.now()
  const took = (phase: string): void => {
    const now = performance.now()
    seconds[phase] = (seconds[phase] ?? 0) + (now - lap) / 1000
    lap = now
  }
  await mkdir(out, { recursive: true })

  const device = deviceInfo()
  say(`device     ${device.cpu}, ${device.isa}, ${device.threads} threads`)
  // Products of bf16 factors where the CPU has them, summed in f32: faster, and as good for training.
  setFloat32MatmulPrecision('medium')
  manualSeed(seed)
  const training = loadDigits('train')
  const testing = loadDigits('t10k')
  took('digits')
  const tokenizer = Tokenizer.train(corpus(), { vocabSize: recipe.vocabulary })
  took('tokenizer')
  const chat = new Chat(tokenizer)
  const model = new ShaktiVlm({
    vision: recipe.vision,
    projector: { merge },
    decoder: { ...recipe.decoder, vocab: tokenizer.vocabSize },
    imageToken: chat.image,
  })
  const parameters = countParameters(model.config)
  say(
    `model      ${parameters.total.toLocaleString('en')} parameters, tokenizer ${tokenizer.vocabSize} tokens`,
  )

  const stages = buildStages({ recipe, chat, digits: training }, model)
  const results: StageResult[] = []
  const train = async <B>(stage: Stage<ShaktiVlm, B>): Promise<void> => {
    const result = await run(stage, { model, quiet })
    results.push(result)
    took(stage.name)
    say(
      `${stage.name.padEnd(11)} loss ${result.finalLoss.toFixed(3)} after ${result.steps} steps, ${result.seconds.toFixed(1)} s`,
    )
  }
  // Stage 1: the decoder alone, on cards in words.
  await train(stages.language)
  const textLossByType: Record<string, number> = {}
  for (const type of questionTypes) textLossByType[type] = await stages.textLoss(model, type)
  say(
    `text loss  ${Object.entries(textLossByType)
      .map(([type, loss]) => `${type} ${loss.toFixed(3)}`)
      .join(', ')}`,
  )
  took('measuring')
  // Stage 2: encoder and projector, the decoder frozen.
  await train(stages.naming)
  await train(stages.alignment)
  // Stage 3: everything.
  await train(stages.instruction)

  const asked = askAbout(testing, recipe.evaluation.cards, seed)
  const test = await score(model, chat, asked)
  const blank = await score(model, chat, asked, 'blank')
  const wrong = await score(model, chat, asked, 'wrong')
  const known = await score(model, chat, askAbout(training, recipe.evaluation.cards, seed))
  took('evaluation')

  await savePretrained(model, join(out, 'model'))
  await tokenizer.save(join(out, 'model'))
  const text = results.find((r) => r.stage === 'instruction')?.textLoss
  const figures = {
    accuracy: test.accuracy,
    chance: asked.reduce((sum, a) => sum + chanceLevels[a.question.type], 0) / asked.length,
    blankImageAccuracy: blank.accuracy,
    wrongImageAccuracy: wrong.accuracy,
    trainingDigitsAccuracy: known.accuracy,
    byType: Object.fromEntries(
      questionTypes.map((t) => [
        t,
        {
          unseen: test.byType[t]!,
          chance: chanceLevels[t],
          blankImage: blank.byType[t]!,
          wrongImage: wrong.byType[t]!,
          training: known.byType[t]!,
        },
      ]),
    ),
    textLossByType,
    textLossBeforeStage3: text?.before,
    textLossAfterStage3: text?.after,
    questions: asked.length,
    seed,
    device: `${device.device}: ${device.cpu}, ${device.isa}, ${device.threads} threads`,
    parameters,
    stages: results.map(({ stage, steps, finalLoss }) => ({ stage, steps, finalLoss })),
    warnings: results.flatMap((r) => r.warnings.map((w) => ({ stage: r.stage, ...w }))),
    frozenDecoder: results.find((r) => r.stage === 'alignment')?.frozen,
  }
  const timed = (): { seconds: Record<string, number> } => {
    const total = Object.values(seconds).reduce((a, b) => a + b, 0)
    const rounded = Object.entries({ ...seconds, total }).map(
      ([phase, s]) => [phase, Math.round(s * 10) / 10] as const,
    )
    return { seconds: Object.fromEntries(rounded) }
  }
  await writeReport(join(out, 'report.html'), {
    summary: { ...figures, ...timed() },
    recipe,
    results,
    answered: test.answered,
  })
  took('report')
  const summary = { ...figures, ...timed() }
  await writeAtomically(
    'handwriting',
    join(out, 'summary.json'),
    `${JSON.stringify({ ...summary, recipe }, null, 2)}\n`,
  )
  if (json) return console.log(JSON.stringify(summary, null, 2))

  const row = (name: string, values: readonly string[]): string =>
    name.padEnd(10) + values.map((v) => v.padStart(17)).join('')
  console.log(
    `\n${row('', ['unseen digits', 'chance', 'blank image', 'wrong image', 'training digits'])}`,
  )
  for (const [type, v] of Object.entries(summary.byType))
    console.log(row(type, Object.values(v).map(percent)))
  const { accuracy, chance, blankImageAccuracy, wrongImageAccuracy } = summary
  console.log(
    row(
      'all',
      [accuracy, chance, blankImageAccuracy, wrongImageAccuracy, known.accuracy].map(percent),
    ),
  )
  console.log(`\n${summary.seconds['total']} s in all. Report: ${join(out, 'report.html')}`)
}

await main()
