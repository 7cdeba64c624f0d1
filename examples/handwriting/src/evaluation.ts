// Questions about cards that were not trained on, and their scores.
import { random } from '@shakti/trainer'
import {
  scoreAnswers,
  type Answered as AnsweredOf,
  type Control,
  type Score as ScoreOf,
  type ShaktiVlm,
} from '@shakti/vlm'
import { makeCard, type Card } from './cards.js'
import type { Digits } from './digits.js'
import { ask, questionTypes, type Question } from './questions.js'
import type { Chat } from './tokens.js'

export interface Asked {
  readonly card: Card
  readonly question: Question
}

export type Answered = AnsweredOf<Asked>
export type Score = ScoreOf<Asked>

/** One question of each type about each card. */
export function askAbout(digits: Digits, cards: number, seed: number): Asked[] {
  return Array.from({ length: cards }, (_, i) => {
    const card = makeCard(digits, 12_345 + seed, i, false)
    const next = random(54_321 + seed, i)
    return questionTypes.map((type) => ({ card, question: ask(card, type, next) }))
  }).flat()
}

/** Answers every question and scores it. */
export const score = (
  model: ShaktiVlm,
  chat: Chat,
  asked: readonly Asked[],
  control: Control = 'none',
): Promise<Score> =>
  scoreAnswers(model, asked, {
    image: ({ card }) => card.image,
    prompt: ({ question }, image) => chat.prompt(question.text, image),
    decode: (ids) => chat.tokenizer.decode(ids),
    stopTokens: [chat.end],
    padId: chat.pad,
    maxTokens: 10,
    control,
  })
