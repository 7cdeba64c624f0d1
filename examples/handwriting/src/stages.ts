// The paper's three stages as data. Each is a plain object that `run` of @shakti/trainer carries out.
import { cat, crossEntropy, tensor, type Tensor } from '@shakti/tensor'
import {
  causal,
  collate,
  cosine,
  evaluate,
  generated,
  random,
  type DataSource,
  type Loss,
  type Sample,
  type Stage,
  type TokenBatch,
} from '@shakti/trainer'
import type { EncodedImage, ShaktiVlm } from '@shakti/vlm'
import { cardInWords, makeCard } from './cards.js'
import type { Digits } from './digits.js'
import {
  ask,
  caption,
  describe,
  halfInWords,
  pictureInWords,
  questionTypes,
  turns,
  type QuestionType,
  type WordBag,
} from './questions.js'
import type { Recipe } from './recipe.js'
import { inWords, type Chat, type Shown } from './tokens.js'

type Batch = TokenBatch<Shown>

export interface Materials {
  readonly recipe: Recipe
  readonly chat: Chat
  /** The digits that may be trained on. */
  readonly digits: Digits
}

/** Embeddings of the words in each bag, added: [bags, width]. */
function embedBags(model: ShaktiVlm, chat: Chat, bags: readonly WordBag[]): Tensor {
  return [0, 1, 2]
    .map((k) => model.decoder.embed(tensor(Int32Array.from(bags, (bag) => chat.word(bag[k]!)))))
    .reduce((a, b) => a.add(b))
}

/** Hidden states of a batch whose pictures are given in words: these stand where the visual tokens would. */
function forwardInWords(
  model: ShaktiVlm,
  chat: Chat,
  { ids, rows, length }: Batch,
  pictures: readonly (readonly WordBag[])[],
): Tensor {
  const { width } = model.config.decoder
  const text = model.decoder.embed(tensor(ids))
  const index = Int32Array.from({ length: ids.length }, (_, i) => i)
  let bags = 0
  ids.forEach((id, i) => {
    if (id === chat.image) index[i] = ids.length + bags++
  })
  const x = cat([text, embedBags(model, chat, pictures.flat())], 0)
  return model.decoder.forward(x.indexSelect(0, tensor(index)).reshape([rows, length, width]))
}

const language = (chat: Chat): Loss<ShaktiVlm, Batch> =>
  causal<ShaktiVlm, Batch>({
    hidden: (model, batch) =>
      batch.images.every(inWords)
        ? forwardInWords(model, chat, batch, batch.images)
        : model.forward({ ...batch, images: batch.images as readonly EncodedImage[] }),
    headLoss: (model, hidden, labels, options) => model.loss(hidden, labels, options),
  })

/** Pictures, and for their left and right halves the words. */
interface NamedBatch {
  readonly images: readonly EncodedImage[]
  readonly bags: readonly WordBag[]
}

/**
 * The mean of a half's visual tokens against the decoder's frozen embeddings: they must amount to the words that stage 1
 * had in their place.
 */
const naming = (chat: Chat, pull: number): Loss<ShaktiVlm, NamedBatch> => ({
  name: 'naming',
  count: (batch) => batch.bags.length,
  terms(model, { images, bags }) {
    const { width } = model.config.decoder
    // Rows, halves, columns of a half.
    const halves = model
      .encodeImages(images)
      .reshape([images.length, 2, 2, 2, width])
      .mean([1, 3])
      .reshape([-1, width])
    const logits = model.logits(model.decoder.model.norm.forward(halves))
    const named = [0, 1, 2]
      .map((k) => tensor(Int32Array.from(bags, (bag) => chat.word(bag[k]!))))
      .map((ids) => crossEntropy(logits, ids, { reduction: 'sum' }))
      .reduce((a, b) => a.add(b))
    const distance = halves
      .sub(embedBags(model, chat, bags))
      .square()
      .sum()
    return { sum: named.add(distance.mul(pull)) }
  },
})

export interface Stages {
  readonly language: Stage<ShaktiVlm, Batch>
  readonly naming: Stage<ShaktiVlm, NamedBatch>
  readonly alignment: Stage<ShaktiVlm, Batch>
  readonly instruction: Stage<ShaktiVlm, Batch>
  /** Mean loss of answers about cards in words, of one type or of all, in nats a token. */
  textLoss(model: ShaktiVlm, type?: QuestionType): Promise<number>
}

const lookups = ['digit', 'colour', 'number'] as const

export function buildStages(m: Materials, model: ShaktiVlm): Stages {
  const { recipe: r, chat } = m
  const loss = language(chat)
  const together = (n: number, make: (i: number) => Sample<Shown>): Batch =>
    collate(
      Array.from({ length: n }, (_, i) => make(i)),
      { padId: chat.pad, multipleOf: 8 },
    )

  /** Dialogues about cards in words; `stream` keeps those of one purpose from those of another. */
  const text = (stream: number, batch: number, lessons = 0): DataSource<Batch> =>
    generated(
      (step) =>
        together(batch, (i) => {
          const next = random(r.seed, stream, step, i)
          const card = cardInWords(next)
          const shown = pictureInWords(card)
          if (step < lessons) {
            const asked = Array.from({ length: 6 }, (_, k) => ask(card, lookups[k % 3]!, next))
            return chat.dialogue(
              asked.map((q) => ({ user: q.text, assistant: q.answer })),
              shown,
            )
          }
          return i % 6 === 0
            ? chat.dialogue([{ user: describe, assistant: caption(card) }], shown)
            : chat.dialogue(turns(card, next), shown)
        }),
      { kind: (step) => (step < lessons ? 'lessons' : 'mixture') },
    )
  const aloneInText = (type?: QuestionType): DataSource<Batch> =>
    generated((step) =>
      together(64, (i) => {
        const next = random(r.seed, 777, step, i)
        const card = cardInWords(next)
        const { text, answer } = ask(card, type ?? questionTypes[i % questionTypes.length]!, next)
        return chat.dialogue([{ user: text, assistant: answer }], pictureInWords(card))
      }),
    )
  const textLoss = async (of: ShaktiVlm, type?: QuestionType): Promise<number> =>
    (await evaluate(of, { loss, data: aloneInText(type), steps: 4 })).loss

  const cards = (stream: number, step: number, n: number) =>
    Array.from({ length: n }, (_, i) =>
      makeCard(m.digits, 10 * r.seed + stream, step * n + i, true),
    )
  const between = text(9, r.instruction.batch)
  const isText = (next: () => number): boolean => next() < r.instruction.textShare

  return {
    textLoss,
    language: {
      name: 'language',
      train: ['decoder.*'],
      lr: r.language.lr,
      weightDecay: 0.1,
      schedule: cosine({ warmup: 0.03 }),
      steps: r.language.steps,
      loss,
      data: text(0, r.language.batch, r.language.lessons),
    },
    naming: {
      name: 'naming',
      train: ['vision.*', 'projector.*'],
      freeze: ['decoder.*'],
      lr: r.naming.lr,
      weightDecay: 0.05,
      schedule: cosine({ warmup: 0.05, final: 0.02 }),
      steps: r.naming.steps,
      loss: naming(chat, r.naming.pull),
      data: generated((step) => {
        const seen = cards(1, step, r.naming.batch)
        return {
          images: seen.map((card) => card.image),
          bags: seen.flatMap((card) => [halfInWords(card, 0), halfInWords(card, 1)]),
        }
      }),
      check: { kind: 'alignment' },
    },
    alignment: {
      name: 'alignment',
      train: ['vision.*', 'projector.*'],
      freeze: ['decoder.*'],
      lr: r.alignment.lr,
      weightDecay: 0.05,
      schedule: cosine({ warmup: 0.03, final: 0.02 }),
      steps: r.alignment.steps,
      loss,
      data: generated((step) => {
        const seen = cards(2, step, r.alignment.batch)
        return together(seen.length, (i) =>
          chat.dialogue([{ user: describe, assistant: caption(seen[i]!) }], seen[i]!.image),
        )
      }),
    },
    instruction: {
      name: 'instruction',
      lr: { 'vision.*': r.instruction.vision, '*': r.instruction.lr },
      schedule: cosine({ warmup: 0.03, final: 0.02 }),
      steps: r.instruction.steps,
      loss,
      data: generated(
        (step, next) => {
          // Text between the pictures keeps the language.
          if (isText(next)) return between.batch(step)
          const seen = cards(3, step, r.instruction.batch)
          return together(seen.length, (i) =>
            i % 6 === 0
              ? chat.dialogue([{ user: describe, assistant: caption(seen[i]!) }], seen[i]!.image)
              : chat.dialogue(turns(seen[i]!, next), seen[i]!.image),
          )
        },
        { seed: r.seed, kind: (_, next) => (isText(next) ? 'text' : 'pictures') },
      ),
      check: { kind: 'keepsLanguage', textLoss: () => textLoss(model) },
    },
  }
}
