// Questions about cards that were not trained on, answered by generation and scored by exact match of the whole answer.
import { random } from '@shakti/trainer'
import { generateBatch, type EncodedImage, type ShaktiVlm } from '@shakti/vlm'
import { makeCard, type Card } from './cards.js'
import type { Digits } from './digits.js'
import { ask, questionTypes, type Question } from './questions.js'
import type { Chat } from './tokens.js'

export interface Asked {
  readonly card: Card
  readonly question: Question
}

export interface Answered extends Asked {
  readonly answer: string
  readonly right: boolean
}

export interface Score {
  readonly accuracy: number
  readonly byType: Readonly<Record<string, number>>
  readonly answered: readonly Answered[]
}

/** One question of each type about each card. */
export function askAbout(digits: Digits, cards: number, seed: number): Asked[] {
  return Array.from({ length: cards }, (_, i) => {
    const card = makeCard(digits, 12_345 + seed, i, false)
    const next = random(54_321 + seed, i)
    return questionTypes.map((type) => ({ card, question: ask(card, type, next) }))
  }).flat()
}

/** The picture itself, a blank one (mid-grey), or another question's. */
export type Control = 'none' | 'blank' | 'wrong'

export function shown(asked: readonly Asked[], i: number, control: Control): EncodedImage {
  const { image } = asked[i]!.card
  if (control === 'blank') return { ...image, pixels: new Float32Array(image.pixels.length) }
  // Half the list away: always another card.
  if (control === 'wrong')
    return asked[(i + Math.floor(asked.length / 2)) % asked.length]!.card.image
  return image
}

const together = 100

export async function score(
  model: ShaktiVlm,
  chat: Chat,
  asked: readonly Asked[],
  control: Control = 'none',
): Promise<Score> {
  const answered: Answered[] = []
  for (let i = 0; i < asked.length; i += together) {
    const part = asked.slice(i, i + together)
    const prompts = part.map(({ question }, k) =>
      chat.prompt(question.text, shown(asked, i + k, control)),
    )
    const outputs = await generateBatch(model, prompts, {
      stopTokens: [chat.end],
      maxTokens: 10,
      padId: chat.pad,
    })
    outputs.forEach((ids, k) => {
      const answer = chat.tokenizer.decode(ids)
      answered.push({ ...part[k]!, answer, right: answer === part[k]!.question.answer })
    })
  }
  const share = (list: readonly Answered[]): number =>
    list.filter((a) => a.right).length / list.length
  return {
    accuracy: share(answered),
    byType: Object.fromEntries(
      questionTypes.map((t) => [t, share(answered.filter((a) => a.question.type === t))]),
    ),
    answered,
  }
}
