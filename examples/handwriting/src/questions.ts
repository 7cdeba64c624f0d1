// Questions about a card, captions, and a card as the words that its visual tokens should amount to.
import { random } from '@shakti/trainer'
import { cardInWords, type Facts } from './cards.js'

const words = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
const teens = [
  'ten',
  'eleven',
  'twelve',
  'thirteen',
  'fourteen',
  'fifteen',
  'sixteen',
  'seventeen',
  'eighteen',
]
const sides = ['left', 'right'] as const

export const questionTypes = ['digit', 'colour', 'larger', 'sum', 'number'] as const
export type QuestionType = (typeof questionTypes)[number]

/** What the best constant answer to each type reaches: equal digits, colours and pairs are drawn equally often. */
export const chanceLevels: Readonly<Record<QuestionType, number>> = {
  digit: 1 / 10,
  colour: 1 / 4,
  larger: 1 / 100,
  sum: 1 / 100,
  number: 1 / 100,
}

export interface Question {
  readonly type: QuestionType
  readonly text: string
  readonly answer: string
}

/**
 * A question of a type. Answers that take two steps (which is larger, the sum) say the first one, the digits, and count as
 * right only when all of it is.
 */
export function ask(card: Facts, type: QuestionType, next: () => number): Question {
  const half = next() < 0.5 ? 0 : 1
  const where = sides[half]
  const [a, b] = card.digits
  const [first, second] = [words[a]!, words[b]!]
  switch (type) {
    case 'digit':
      return { type, text: `which digit is on the ${where}?`, answer: words[card.digits[half]]! }
    case 'colour':
      return { type, text: `what colour is the digit on the ${where}?`, answer: card.inks[half] }
    case 'larger': {
      const larger = a > b ? 'left' : b > a ? 'right' : 'equal'
      return { type, text: 'which digit is larger?', answer: `${first} and ${second}: ${larger}` }
    }
    case 'sum': {
      const sum = a + b < 10 ? words[a + b]! : teens[a + b - 10]!
      return { type, text: 'what is the sum?', answer: `${first} and ${second}: ${sum}` }
    }
    case 'number':
      return { type, text: 'read the number.', answer: `${first} ${second}` }
  }
}

export interface Turn {
  readonly user: string
  readonly assistant: string
}

/** One question of each type, in an order of chance. */
export function turns(card: Facts, next: () => number): Turn[] {
  const order = questionTypes
    .map((type) => ({ type, at: next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ type }) => ask(card, type, next))
  return order.map(({ text, answer }) => ({ user: text, assistant: answer }))
}

export const describe = 'describe the card.'
export const caption = ({ digits, inks: [p, q] }: Facts): string =>
  `left: ${p} ${words[digits[0]]!}. right: ${q} ${words[digits[1]]!}.`

/** Words that stand in one position together; their embeddings are added. */
export type WordBag = readonly [digit: string, ink: string, side: string]

/** Half of a card, left (0) or right (1). */
export const halfInWords = ({ digits, inks }: Facts, half: 0 | 1): WordBag => [
  words[digits[half]]!,
  inks[half],
  sides[half],
]

/** A card as its visual tokens see it: 2 rows of 4, of which the first two are the left digit's. */
export const pictureInWords = (card: Facts): WordBag[] =>
  Array.from({ length: 8 }, (_, t) => halfInWords(card, t % 4 < 2 ? 0 : 1))

/** All text of the task, for the tokenizer. */
export function* corpus(): Generator<string> {
  for (let i = 0; i < 4000; i++) {
    const next = random(99, i)
    const card = cardInWords(next)
    yield [
      caption(card),
      describe,
      [0, 1].map((half) => ` ${halfInWords(card, half as 0 | 1).join(' ')}`).join(''),
      ...turns(card, next).flatMap((t) => [t.user, t.assistant]),
    ].join('\n')
  }
}
