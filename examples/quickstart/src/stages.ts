// The paper's three stages as data. Each is a plain object that `run` of @shakti/trainer carries out.
import { crossEntropy, tensor, type Tensor } from '@shakti/tensor'
import {
  causal,
  collate,
  collatePreferences,
  cosine,
  dpo,
  evaluate,
  generated,
  batches,
  placedLoss,
  type DataSource,
  type Loss,
  type Preference,
  type PreferenceBatch,
  type Stage,
  type TokenBatch,
} from '@shakti/trainer'
import type { EncodedImage, PlacedImages, PlacedInputs, ShaktiVlm } from '@shakti/vlm'
import type { Artist, Drawings } from './data/artists.js'
import {
  definitions,
  firstDialogue,
  quarterInWords,
  textDialogue,
  type Dialogue,
} from './data/corpus.js'
import { concepts } from './data/concepts.js'
import { Random } from './data/random.js'
import { captionSample, makePicture, questionSample } from './pictures.js'
import type { Recipe } from './recipe.js'
import { none, type ChatEncoder, type ChatSample } from './tokens.js'

export interface Batch extends TokenBatch<EncodedImage> {
  /** Further words of each position, where a picture is given in words; see ChatSample. */
  readonly also?: readonly Int32Array[]
}
type PairBatch = PreferenceBatch<EncodedImage>

export interface Materials {
  readonly recipe: Recipe
  readonly chat: ChatEncoder
  readonly drawings: Drawings
  /** Whose drawings may be trained on. */
  readonly artists: readonly Artist[]
}

/** A batch on the device. */
interface Inputs extends PlacedInputs {
  /** Further words of the positions, and 1 where there are any, else 0. */
  readonly also: readonly { readonly words: Tensor; readonly there: Tensor }[]
}

/** Hidden states of all positions, logits where there is something to learn. */
export const heads = {
  place(model: ShaktiVlm, batch: Batch): Inputs {
    const shape = [batch.rows, batch.length]
    const also = (batch.also ?? []).map((ids) => ({
      words: tensor(
        ids.map((id) => Math.max(id, 0)),
        { shape },
      ),
      there: tensor(
        Float32Array.from(ids, (id) => (id === none ? 0 : 1)),
        { shape: [...shape, 1] },
      ),
    }))
    return { ...model.place(batch), also }
  },
  hidden(model: ShaktiVlm, inputs: Inputs): Tensor {
    const x = inputs.also.reduce(
      (sum, { words, there }) => sum.add(model.decoder.embed(words).mul(there)),
      model.embed(inputs),
    )
    return model.decoder.forward(x)
  },
  head: (model: ShaktiVlm, hidden: Tensor): Tensor => model.logits(hidden),
}

/** @param labels that a batch has, at most: as many in each, so that few different shapes occur */
const language = (labels: number): Loss<ShaktiVlm, Batch> =>
  causal<ShaktiVlm, Batch, Inputs>({
    ...heads,
    headLoss: (model, hidden, target, options) => model.loss(hidden, target, options),
    labelsMultipleOf: labels,
  })

/** Pictures, and for each quarter the words for it: what stands there, where it is, and the paper. */
interface NamedBatch {
  readonly images: readonly EncodedImage[]
  /** Three times four words a picture. */
  readonly words: readonly Int32Array[]
}

/**
 * The mean of a quarter's visual tokens against the decoder's frozen embeddings: they must amount to the words that stage 1
 * had in their place. Captions alone teach this far more slowly: their loss reaches the encoder through attention that finds
 * nothing yet.
 */
const naming = (pull: number): Loss<ShaktiVlm, NamedBatch> =>
  placedLoss({
    name: 'naming',
    count: (batch: NamedBatch) => batch.images.length * 4,
    place: (model: ShaktiVlm, { images, words }: NamedBatch) => ({
      pictures: images.length,
      images: model.placeImages(images),
      words: words.map((ids) => tensor(ids)),
    }),
    terms(
      model: ShaktiVlm,
      placed: { pictures: number; images: PlacedImages; words: readonly Tensor[] },
    ) {
      const { pictures, images, words } = placed
      const { width } = model.config.decoder
      const tokens = model.encodeImages(images)
      const half = Math.sqrt(tokens.shape[0]! / pictures) / 2
      const quarters = tokens
        .reshape([pictures, 2, half, 2, half, width])
        .mean([2, 4])
        .reshape([-1, width])
      const { model: decoder } = model.decoder
      const logits = model.logits(decoder.norm.forward(quarters))
      const named = words
        .map((ids) => crossEntropy(logits, ids, { reduction: 'sum' }))
        .reduce((a, b) => a.add(b))
      const sum = words.map((ids) => model.decoder.embed(ids)).reduce((a, b) => a.add(b))
      return { sum: named.add(quarters.sub(sum).square().sum().mul(pull)) }
    },
  })

/** Lengths in steps of 8, so that few different shapes occur. */
export function together(chat: ChatEncoder, samples: readonly ChatSample[]): Batch {
  const batch = collate(samples, { padId: chat.pad, multipleOf: 8 })
  if (!samples.some((s) => s.also)) return batch
  const also = [0, 1].map((k) => {
    const ids = new Int32Array(batch.ids.length).fill(none)
    samples.forEach((s, row) => ids.set(s.also?.[k] ?? [], row * batch.length))
    return ids
  })
  return { ...batch, also }
}

/** Text: dialogues about scenes in words, and one definition in sixteen. */
function textSamples(
  { chat, recipe }: Materials,
  definitionSamples: readonly ChatSample[],
  stream: number,
  step: number,
  n: number,
): ChatSample[] {
  return Array.from({ length: n }, (_, i) => {
    const k = step * n + i
    if (k % 16 === 0) return definitionSamples[(k / 16) % definitionSamples.length]!
    const d = textDialogue(recipe.seed + stream, k)
    return chat.dialogue(d.turns, d)
  })
}

const once = <T>(make: () => T): (() => T) => {
  let value: T | undefined
  return () => (value ??= make())
}

// The last definitions are kept for measuring.
const heldOutDefinitions = 200

export function textSources(m: Materials): {
  train: (stream: number, batch: number) => DataSource<Batch>
  heldOut: DataSource<Batch>
} {
  const all = once(() => definitions(3000).map((text) => m.chat.plain(text)))
  return {
    train: (stream, batch) =>
      generated(
        (step) =>
          together(
            m.chat,
            textSamples(m, all().slice(0, -heldOutDefinitions), stream, step, batch),
          ),
        { seed: m.recipe.seed },
      ),
    heldOut: generated((step) =>
      together(m.chat, textSamples(m, all().slice(-heldOutDefinitions), 777, step, 32)),
    ),
  }
}

/** Five things for the first half of the lessons, all of them at four fifths. */
function thingsOfLesson({ recipe: { language } }: Materials, step: number): number {
  const grown = (step / language.lessons - 1 / 2) / (4 / 5 - 1 / 2)
  return 5 + Math.round(Math.min(Math.max(grown, 0), 1) * (concepts.length - 5))
}

/** Patch sizes in turn: mostly the larger one, the smaller (with more than twice the tokens) often enough to be learned. */
export function patchOfStep({ recipe }: Materials, step: number): number {
  const sizes = recipe.vision.patchSizes
  const usual = sizes.at(-1)!
  return step % 16 === 7 ? sizes[0]! : usual
}

function pictures(m: Materials, step: number, n: number, from: number) {
  const patch = patchOfStep(m, step)
  const options = { drawings: m.drawings, artists: m.artists, augment: true, merge: 2 }
  return Array.from({ length: n }, (_, i) =>
    makePicture(m.recipe.seed, from + step * n + i, patch, options),
  )
}

export interface Stages {
  readonly language: Stage<ShaktiVlm, Batch>
  readonly extension: Stage<ShaktiVlm, Batch>
  readonly naming: Stage<ShaktiVlm, NamedBatch>
  readonly alignment: Stage<ShaktiVlm, Batch>
  readonly instruction: Stage<ShaktiVlm, Batch>
  preference(pairs: readonly Preference<EncodedImage>[]): Stage<ShaktiVlm, PairBatch>
  /** Mean loss on held-out text, in nats a token. */
  textLoss(model: ShaktiVlm): Promise<number>
}

export function buildStages(
  m: Materials,
  model: ShaktiVlm,
  facts: { unigram: number; bytesPerToken: number },
): Stages {
  const { recipe: r, chat } = m
  const text = textSources(m)
  const textLoss = async (of: ShaktiVlm): Promise<number> =>
    (await evaluate(of, { loss: language(1), data: text.heldOut, steps: 8 })).loss

  const mixture = text.train(0, r.language.batch)
  const between = text.train(9, r.instruction.batch)
  const isText = (next: () => number): boolean => next() < r.instruction.textShare
  const lessons = (step: number, n: number): Batch =>
    together(
      chat,
      Array.from({ length: n }, (_, i) => {
        const d: Dialogue = firstDialogue(r.seed, step * n + i, thingsOfLesson(m, step))
        return chat.dialogue(d.turns, d)
      }),
    )

  // Long documents for the extension: many dialogues in one sequence, up to the new context.
  const long = generated<Batch>((step) => {
    const documents = Array.from({ length: r.extension.batch }, (_, i) => {
      const ids: number[] = []
      const mask: number[] = []
      const also: [number[], number[]] = [[], []]
      for (let k = 0; ; k++) {
        const d = textDialogue(r.seed + 50, (step * r.extension.batch + i) * 40 + k)
        const next = chat.dialogue(d.turns, d)
        if (ids.length + next.ids.length > r.extended.context) return { ids, mask, also }
        ids.push(...Array.from(next.ids))
        mask.push(...Array.from(next.mask ?? []))
        also.forEach((more, j) =>
          more.push(...(next.also?.[j] ?? new Array<number>(next.ids.length).fill(none))),
        )
      }
    })
    return together(chat, documents)
  })

  return {
    textLoss,
    language: {
      name: 'language',
      train: ['decoder.*'],
      lr: r.language.lr,
      weightDecay: 0.1,
      schedule: cosine({ warmup: 0.03 }),
      steps: r.language.steps,
      loss: language(384),
      data: generated(
        (step) =>
          step < r.language.lessons ? lessons(step, r.language.batch) : mixture.batch(step),
        {
          kind: (step) =>
            step < r.language.lessons ? `lessons on ${thingsOfLesson(m, step)} things` : 'mixture',
        },
      ),
      check: { kind: 'language', ...facts },
    },
    extension: {
      name: 'extension',
      train: ['decoder.*'],
      lr: r.extension.lr,
      weightDecay: 0.1,
      schedule: cosine({ warmup: 0.1 }),
      steps: r.extension.steps,
      loss: language(1),
      data: long,
    },
    naming: {
      name: 'naming',
      train: ['vision.*', 'projector.*'],
      freeze: ['decoder.*'],
      lr: r.naming.lr,
      weightDecay: 0.05,
      schedule: cosine({ warmup: 0.05, final: 0.02 }),
      steps: r.naming.steps,
      loss: naming(r.naming.pull),
      data: generated((step) => {
        const seen = pictures(m, step, r.naming.batch, 2_000_000)
        const bags = seen.flatMap((p) => [0, 1, 2, 3].map((i) => quarterInWords(p.scene, i)))
        return {
          images: seen.map((p) => p.image),
          words: [0, 1, 2].map((k) => Int32Array.from(bags, (bag) => chat.word(bag[k]!))),
        }
      }),
      check: { kind: 'alignment' },
    },
    alignment: {
      name: 'alignment',
      train: ['vision.*', 'projector.*'],
      freeze: ['decoder.*'],
      lr: { 'projector.*': r.alignment.projector, '*': r.alignment.vision },
      weightDecay: 0.05,
      schedule: cosine({ warmup: 0.03, final: 0.02 }),
      steps: r.alignment.steps,
      loss: language(896),
      data: generated((step) =>
        together(
          chat,
          pictures(m, step, r.alignment.batch, 0).map((p) => captionSample(p, chat)),
        ),
      ),
      check: { kind: 'alignment' },
    },
    instruction: {
      name: 'instruction',
      lr: { 'vision.*': r.instruction.vision, '*': r.instruction.lr },
      schedule: cosine({ warmup: 0.03, final: 0.02 }),
      steps: r.instruction.steps,
      loss: language(544),
      data: generated(
        (step, next) =>
          // Text between the pictures keeps the language.
          isText(next)
            ? between.batch(step)
            : together(
                chat,
                pictures(m, step, r.instruction.batch, 1_000_000).map((p, i) =>
                  i % 6 === 0
                    ? captionSample(p, chat)
                    : questionSample(p, chat, 6, new Random(r.seed, 3, step, i)),
                ),
              ),
        {
          kind: (step, next) =>
            isText(next) ? 'text' : `pictures in patches of ${patchOfStep(m, step)}`,
        },
      ),
      check: { kind: 'keepsLanguage', textLoss: () => textLoss(model) },
    },
    preference: (pairs) => ({
      name: 'preference',
      lr: r.preference.lr,
      schedule: cosine({ warmup: 0.1 }),
      steps: r.preference.steps,
      loss: dpo<ShaktiVlm, PairBatch, Inputs>({ ...heads, beta: r.preference.beta }),
      data: batches<Preference<EncodedImage>, PairBatch>(pairs, {
        batchSize: r.preference.batch,
        seed: r.seed,
        collate: (p) => collatePreferences(p, { padId: chat.pad, multipleOf: 8 }),
      }),
    }),
  }
}
