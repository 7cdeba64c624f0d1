// The main job: trains a small Shakti-VLM through its three stages on drawings by all artists but one, and asks it about
// pictures drawn by that one.
import { mkdir, readFile, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { deviceInfo, manualSeed, setFloat32MatmulPrecision, writeAtomically } from '@shakti/tensor'
import { Tokenizer } from '@shakti/tokenizer'
import {
  combineLoggers,
  FolderCheckpointer,
  interruptSignal,
  JsonlLogger,
  Muon,
  run,
  TensorBoardLogger,
  unigramEntropy,
  withReference,
  type Stage,
  type StageResult,
} from '@shakti/trainer'
import { countParameters, savePretrained, ShaktiVlm } from '@shakti/vlm'
import { artists, loadDrawings, type Artist } from './data/artists.js'
import { concepts, heldOutConcepts } from './data/concepts.js'
import { corpusText } from './data/corpus.js'
import { chanceLevels, questionTypes } from './data/questions.js'
import {
  askAbout,
  askAboutNewConcepts,
  chanceOf,
  score,
  scoreInWords,
  type Score,
} from './evaluation.js'
import { makePreferences } from './preferences.js'
import { recipe as defaults, type Recipe } from './recipe.js'
import { writeReport } from './report.js'
import { buildStages, heads, textSources, type Materials } from './stages.js'
import { ChatEncoder } from './tokens.js'

const help = `Trains a small Shakti-VLM in three stages and asks it about pictures by an artist it has never seen.

  npm run quickstart -- [options]

  --out DIR        run folder (default runs/quickstart)
  --seed N         seed of everything random (default ${defaults.seed})
  --held-out NAME  the artist to test on: ${artists.join(', ')} (default emojione)
  --set KEY=VALUE  change a number of the recipe (src/recipe.ts), as often as you like
  --fresh          start anew, even if the run folder holds an interrupted run
  --quiet          no progress
  --json           print the summary as JSON
  --help

Ctrl-C saves and stops; the same command goes on from there. A finished run is evaluated again.

  npm run quickstart -- --seed 2 --out runs/seed2
  npm run quickstart -- --held-out twemoji --out runs/twemoji
  npm run quickstart -- --set naming.steps=500 --out runs/short`

function usage(message: string): never {
  console.error(`${message}\n\n${help}`)
  process.exit(2)
}

interface Options {
  out: string
  heldOut: Artist
  recipe: Recipe
  fresh: boolean
  quiet: boolean
  json: boolean
}

/** A recipe with some of its numbers changed: 'naming.steps=500'. */
function change(recipe: Recipe, settings: readonly string[]): Recipe {
  const changed = structuredClone(recipe) as unknown as Record<string, unknown>
  for (const setting of settings) {
    const [path = '', text = ''] = setting.split('=')
    const keys = path.split('.')
    const last = keys.pop()!
    let at: unknown = changed
    for (const key of keys) at = Object.hasOwn(at as object, key) ? (at as never)[key] : {}
    const value = Number(text)
    if (typeof (at as Record<string, unknown>)[last] !== 'number' || text === '' || !(value >= 0))
      usage(`--set ${setting}: not a number of the recipe and a value for it. See src/recipe.ts.`)
    ;(at as Record<string, number>)[last] = value
  }
  return changed as unknown as Recipe
}

function options(): Options {
  const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')
  try {
    const { values: v } = parseArgs({
      options: {
        out: { type: 'string' },
        seed: { type: 'string' },
        'held-out': { type: 'string' },
        set: { type: 'string', multiple: true },
        fresh: { type: 'boolean' },
        quiet: { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    })
    if (v.help) {
      console.log(help)
      process.exit(0)
    }
    const recipe = change({ ...defaults, seed: Number(v.seed ?? defaults.seed) }, v.set ?? [])
    if (!Number.isSafeInteger(recipe.seed) || recipe.seed < 0)
      usage(`--seed must be an integer from 0, got '${v.seed ?? recipe.seed}'.`)
    const heldOut = artists.find((a) => a === (v['held-out'] ?? 'emojione'))
    if (!heldOut) usage(`--held-out must be one of ${artists.join(', ')}, got '${v['held-out']}'.`)
    return {
      // npm runs this in the example's folder; paths of the user's are meant from where they typed.
      out:
        v.out === undefined
          ? join(root, 'runs/quickstart')
          : resolve(process.env['INIT_CWD'] ?? '.', v.out),
      heldOut,
      recipe,
      fresh: v.fresh ?? false,
      quiet: v.quiet ?? false,
      json: v.json ?? false,
    }
  } catch (error) {
    return usage((error as Error).message)
  }
}

const writeJson = (path: string, value: unknown): Promise<void> =>
  writeAtomically('quickstart', path, `${JSON.stringify(value, null, 2)}\n`)

const percent = (x: number): string => `${(100 * x).toFixed(1)} %`

/** Distribution of tokens in text that stage 1 learns from, for judging its loss. */
async function languageFacts(m: Materials): Promise<{ unigram: number; bytesPerToken: number }> {
  const counts = new Float64Array(m.chat.tokenizer.vocabSize)
  const source = textSources(m).train(0, 32)
  for (let step = 0; step < 10; step++) {
    for (const batch of await source.batch(step))
      for (const label of batch.labels) if (label >= 0) counts[label]!++
  }
  const text = [...corpusText(m.recipe.seed + 1, 200)].slice(-200).join('\n')
  return {
    unigram: unigramEntropy(counts),
    bytesPerToken: Buffer.byteLength(text) / m.chat.tokenizer.encode(text).length,
  }
}

async function main(): Promise<void> {
  const { out, heldOut, recipe, fresh, quiet, json } = options()
  const { seed } = recipe
  const say = (text: string): void => {
    if (!quiet) console.error(text)
  }
  const seconds: Record<string, number> = {}
  let lap = performance.now()
  const took = (phase: string): void => {
    const now = performance.now()
    seconds[phase] = (seconds[phase] ?? 0) + Math.round((now - lap) / 100) / 10
    lap = now
  }

  const drawings = await loadDrawings(join(out, 'drawings.cache'))
  const lacking = concepts.filter((c) => drawings.of(heldOut, c.name).length === 0)
  if (lacking.length > 0)
    usage(
      `--held-out ${heldOut}: this artist has no drawing of ${lacking.map((c) => c.name).join(', ')} to test on. Choose another.`,
    )
  took('pictures')

  if (fresh) await rm(join(out, 'checkpoints'), { recursive: true, force: true })
  await mkdir(out, { recursive: true })
  // A run of another seed or recipe in the same folder is another run.
  const identity = JSON.stringify({ recipe, heldOut })
  const mark = join(out, 'run.json')
  const before = await readFile(mark, 'utf8').catch(() => undefined)
  if (before !== undefined && JSON.stringify(JSON.parse(before)) !== identity) {
    await rm(join(out, 'checkpoints'), { recursive: true, force: true })
  }
  await writeJson(mark, { recipe, heldOut })

  const device = deviceInfo()
  say(`device     ${device.cpu}, ${device.isa}, ${device.threads} threads`)
  // Products of bf16 factors where the CPU has them, summed in f32: faster, and as good for training.
  setFloat32MatmulPrecision('medium')
  manualSeed(seed)
  const tokenizer = Tokenizer.train(corpusText(seed, 4000), { vocabSize: recipe.vocabulary })
  took('tokenizer')
  const chat = new ChatEncoder(tokenizer)
  const seen = artists.filter((a) => a !== heldOut)
  const m: Materials = { recipe, chat, drawings, artists: seen }
  const model = new ShaktiVlm({
    vision: recipe.vision,
    projector: { merge: 2 },
    decoder: { ...recipe.decoder, vocab: tokenizer.vocabSize },
    imageToken: chat.image,
  })
  for (const { attn } of model.decoder.model.layers)
    attn.startKeysAtQueries(Math.min(recipe.contentHeads, attn.kvHeads))
  const parameters = countParameters(model.config)
  say(
    `model      ${parameters.total.toLocaleString('en')} parameters: encoder ${parameters.encoder.toLocaleString('en')}, ` +
      `projector ${parameters.projector.toLocaleString('en')}, decoder ${parameters.decoder.toLocaleString('en')}`,
  )
  say(`tokenizer  ${tokenizer.vocabSize} tokens   held-out artist  ${heldOut}   run folder  ${out}`)
  await writeJson(join(out, 'splits.json'), {
    seed,
    heldOutArtist: heldOut,
    trainingArtists: seen,
    concepts: concepts.map((c) => c.name),
    heldOutConcepts: heldOutConcepts.map((c) => c.name),
  })

  const stages = buildStages(m, model, await languageFacts(m))
  const logger = combineLoggers(
    new JsonlLogger(join(out, 'metrics.jsonl')),
    new TensorBoardLogger(join(out, 'tensorboard')),
  )
  const checkpointer = new FolderCheckpointer(join(out, 'checkpoints'), { keep: 1 })
  const signal = interruptSignal(() => say('\nfinishing the step, saving ...'))
  const results: StageResult[] = []
  const train = async <B>(stage: Stage<ShaktiVlm, B>): Promise<void> => {
    const result = await run(stage, {
      model,
      // Matrices moved in all directions alike: the decoder learns to look things up, which AdamW did not bring about.
      optimizer: (groups) => new Muon(groups),
      checkpointer,
      saveEvery: 500,
      logger,
      signal,
      quiet,
    })
    results.push(result)
    took(stage.name)
    seconds[stage.name] = Math.round(result.seconds * 10) / 10
    if (result.status === 'interrupted') {
      logger.close()
      say(
        `stopped in stage '${stage.name}' at step ${result.step} of ${result.steps}. The same command goes on from here.`,
      )
      process.exit(130)
    }
    say(
      `${stage.name.padEnd(11)} loss ${result.finalLoss.toFixed(3)} after ${result.steps} steps, ${result.seconds.toFixed(1)} s`,
    )
  }

  // Stage 1: the decoder alone, on text; then its context is extended.
  await train(stages.language)
  const beforeExtension = await stages.textLoss(model)
  const inWords = await scoreInWords(model, m, recipe.evaluation.scenes)
  say(
    `in words   ${Object.entries(inWords)
      .map(([type, share]) => `${type} ${percent(share)}`)
      .join(' · ')}`,
  )
  model.config.decoder.context = recipe.extended.context
  model.decoder.setRope(recipe.extended.ropeTheta)
  await train(stages.extension)
  const afterExtension = await stages.textLoss(model)
  say(
    `text loss  ${beforeExtension.toFixed(3)} before, ${afterExtension.toFixed(3)} after the extension to ${recipe.extended.context} tokens`,
  )
  took('measuring')
  // Stage 2: encoder and projector through the frozen decoder.
  await train(stages.naming)
  await train(stages.alignment)
  // Stage 3: everything, on questions and answers; then preferences.
  await train(stages.instruction)
  const { pairs, onPolicy } = await makePreferences(model, m, recipe.preference.pairs)
  const referenced = await withReference(pairs, model, heads)
  took('pairs')
  await train(stages.preference(referenced))
  const textAfter = await stages.textLoss(model)
  signal.release()
  logger.close()

  // Evaluation.
  const asked = askAbout(m, [heldOut], recipe.evaluation.scenes, seed)
  const heldOutScore = await score(model, m, asked)
  const blank = await score(model, m, asked, 'blank')
  const wrong = await score(model, m, asked, 'wrong')
  const seenScore = await score(model, m, askAbout(m, seen, recipe.evaluation.scenes, seed + 1))
  const rephrased = await score(
    model,
    m,
    askAbout(m, [heldOut], recipe.evaluation.scenes, seed, 'held out'),
  )
  const newConcepts = await score(
    model,
    m,
    askAboutNewConcepts(m, artists, recipe.evaluation.scenes, seed),
  )
  const where = await score(
    model,
    m,
    askAbout(m, [heldOut], recipe.evaluation.scenes, seed, 'seen', ['where']),
  )
  const levels = chanceLevels()
  took('evaluation')

  await savePretrained(model, join(out, 'model'))
  await tokenizer.save(join(out, 'model'))
  const text = results.find((r) => r.stage === 'instruction')?.textLoss
  const summary = {
    heldOutAccuracy: heldOutScore.accuracy,
    chance: chanceOf(asked, levels),
    blankImageAccuracy: blank.accuracy,
    wrongImageAccuracy: wrong.accuracy,
    seenArtistAccuracy: seenScore.accuracy,
    heldOutPhrasingAccuracy: rephrased.accuracy,
    heldOutConceptKindAccuracy: newConcepts.accuracy,
    whereAccuracy: where.accuracy,
    inWordsAfterStage1: inWords,
    byType: Object.fromEntries(
      questionTypes.map((t) => [
        t,
        {
          heldOut: heldOutScore.byType[t],
          chance: levels[t],
          blankImage: blank.byType[t],
          wrongImage: wrong.byType[t],
          seenArtists: seenScore.byType[t],
        },
      ]),
    ),
    textLossBeforeStage3: text?.before,
    textLossAfterStage3: textAfter,
    questions: asked.length,
    distinctHeldOutDrawings: concepts.reduce((n, c) => n + drawings.of(heldOut, c.name).length, 0),
    preferencePairs: { total: pairs.length, onPolicy },
    seconds: {
      ...seconds,
      total: Math.round(Object.values(seconds).reduce((a, b) => a + b, 0) * 10) / 10,
    },
    seed,
    heldOutArtist: heldOut,
    device: `${device.device}: ${device.cpu}, ${device.isa}, ${device.threads} threads`,
    parameters,
    warnings: results.flatMap((r) => r.warnings.map((w) => ({ stage: r.stage, ...w }))),
    frozenDecoder: results.find((r) => r.stage === 'alignment')?.frozen,
  }
  const { purity } = await writeReport(join(out, 'report.html'), {
    summary,
    results,
    examples: heldOutScore.answered,
    model,
    m,
  })
  took('report')
  summary.seconds = {
    ...seconds,
    total: Math.round(Object.values(seconds).reduce((a, b) => a + b, 0) * 10) / 10,
  }
  await writeJson(join(out, 'summary.json'), { ...summary, projectorNeighbourPurity: purity })

  if (json) console.log(JSON.stringify(summary, null, 2))
  else printSummary(summary, heldOutScore, out)
}

type Summary = {
  readonly [
    K in
      | 'heldOutAccuracy'
      | 'chance'
      | 'blankImageAccuracy'
      | 'wrongImageAccuracy'
      | 'seenArtistAccuracy'
  ]: number
} & {
  readonly byType: Readonly<Record<string, Readonly<Record<string, number | undefined>>>>
  readonly seconds: Readonly<Record<string, number>>
  readonly heldOutConceptKindAccuracy: number
  readonly heldOutPhrasingAccuracy: number
  readonly whereAccuracy: number
}

function printSummary(s: Summary, held: Score, out: string): void {
  const row = (name: string, values: readonly (number | undefined)[]): string =>
    name.padEnd(12) + values.map((v) => (v === undefined ? '-' : percent(v)).padStart(14)).join('')
  console.log(
    `\n${' '.repeat(12)}${['unseen artist', 'chance', 'blank image', 'wrong image', 'seen artists'].map((t) => t.padStart(14)).join('')}`,
  )
  for (const [type, v] of Object.entries(s.byType))
    console.log(
      row(type, [v['heldOut'], v['chance'], v['blankImage'], v['wrongImage'], v['seenArtists']]),
    )
  console.log(
    row('all', [
      s.heldOutAccuracy,
      s.chance,
      s.blankImageAccuracy,
      s.wrongImageAccuracy,
      s.seenArtistAccuracy,
    ]),
  )
  console.log(
    `\nkind of things never drawn in training: ${percent(s.heldOutConceptKindAccuracy)} (chance 20 %)`,
  )
  console.log(`asked in a phrasing that training never used: ${percent(s.heldOutPhrasingAccuracy)}`)
  console.log(`where a thing is: ${percent(s.whereAccuracy)} (chance 25 %)`)
  console.log('\nsome answers about pictures by the unseen artist:')
  for (const a of held.answered.filter((_, i) => i % 37 === 0).slice(0, 8)) {
    console.log(
      `  ${a.right ? '+' : '-'} ${a.question.text}  ->  ${a.answer}${a.right ? '' : `   (${a.question.answer})`}`,
    )
  }
  console.log(
    `\n${s.seconds['total']} s in all. Report: ${join(out, 'report.html')}   checkpoint: ${join(out, 'model')}`,
  )
  console.log(
    `Ask about a picture of your own: npm run ask -- picture.png "what is in the top left?"`,
  )
}

await main()
