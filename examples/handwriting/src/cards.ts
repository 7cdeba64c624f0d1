// A card: two digits side by side in coloured inks on white, 28 x 56 pixels, and questions about it.
import { random, type Sample } from '@shakti/trainer'
import { normalizePixels, visualTokens, type EncodedImage } from '@shakti/vlm'
import type { Tokenizer } from '@shakti/tokenizer'
import { side, type Digits } from './digits.js'

export const inks = {
  black: [20, 20, 20],
  red: [210, 40, 40],
  green: [30, 140, 50],
  blue: [40, 70, 200],
} as const
export type Ink = keyof typeof inks
const inkNames = Object.keys(inks) as Ink[]
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

export interface Card {
  readonly digits: readonly [number, number]
  readonly inks: readonly [Ink, Ink]
  readonly image: EncodedImage
}

export const patch = 7

/** The i-th card of a seed. */
export function makeCard(digits: Digits, seed: number, i: number, augment: boolean): Card {
  const next = random(seed, i)
  const int = (n: number): number => Math.floor(next() * n)
  const pick = [int(digits.count), int(digits.count)]
  const colours = [inkNames[int(inkNames.length)]!, inkNames[int(inkNames.length)]!] as const
  const width = 2 * side
  const rgb = new Uint8Array(side * width * 3).fill(255)
  pick.forEach((d, half) => {
    const pixels = digits.pixels(d)
    const ink = inks[colours[half]!]
    const [dx, dy] = augment ? [int(5) - 2, int(5) - 2] : [0, 0]
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const [sx, sy] = [x - dx, y - dy]
        const a = sx >= 0 && sy >= 0 && sx < side && sy < side ? pixels[sy * side + sx]! / 255 : 0
        for (let c = 0; c < 3; c++)
          rgb[(y * width + half * side + x) * 3 + c] = 255 + (ink[c]! - 255) * a
      }
    }
  })
  return {
    digits: [digits.label(pick[0]!), digits.label(pick[1]!)],
    inks: colours,
    image: { pixels: normalizePixels(rgb), height: side, width, patch },
  }
}

export const questionTypes = ['digit', 'colour', 'larger', 'sum', 'number'] as const
export type QuestionType = (typeof questionTypes)[number]

export interface Question {
  readonly type: QuestionType
  readonly text: string
  readonly answer: string
}

export function ask(
  card: Pick<Card, 'digits' | 'inks'>,
  type: QuestionType,
  next: () => number,
): Question {
  const half = next() < 0.5 ? 0 : 1
  const where = half === 0 ? 'left' : 'right'
  const [a, b] = card.digits
  switch (type) {
    case 'digit':
      return { type, text: `which digit is on the ${where}?`, answer: words[card.digits[half]]! }
    case 'colour':
      return { type, text: `what colour is the digit on the ${where}?`, answer: card.inks[half] }
    case 'larger':
      return {
        type,
        text: 'which digit is larger?',
        answer: a > b ? 'left' : b > a ? 'right' : 'equal',
      }
    case 'sum':
      return {
        type,
        text: 'what is the sum?',
        answer: a + b < 10 ? words[a + b]! : teens[a + b - 10]!,
      }
    case 'number':
      return { type, text: 'read the number.', answer: `${words[a]!} ${words[b]!}` }
  }
}

export const describe = 'describe the card.'
export const caption = ({ digits, inks: [p, q] }: Pick<Card, 'digits' | 'inks'>): string =>
  `left: ${p} ${words[digits[0]]!}. right: ${q} ${words[digits[1]]!}.`

/** A card without a picture, for text. */
export function cardInWords(next: () => number): Pick<Card, 'digits' | 'inks'> {
  const int = (n: number): number => Math.floor(next() * n)
  return { digits: [int(10), int(10)], inks: [inkNames[int(4)]!, inkNames[int(4)]!] }
}

/** All text of the task, for the tokenizer. */
export function* corpus(): Generator<string> {
  for (let i = 0; i < 4000; i++) {
    const next = random(99, i)
    const card = cardInWords(next)
    yield [
      caption(card),
      describe,
      ...questionTypes.flatMap((t) => Object.values(ask(card, t, next)).slice(1)),
    ].join('\n')
  }
}

interface Turn {
  readonly user: string
  readonly assistant: string
}

/** A dialogue in the tokenizer's chat format; answers are marked for the loss. */
export function dialogue(
  tokenizer: Tokenizer,
  turns: readonly Turn[],
  image?: EncodedImage,
): Sample<EncodedImage> {
  const tokens = image ? visualTokens(image, 2) : 0
  const { ids, assistantMask } = tokenizer.applyChatTemplate(
    turns.flatMap((t, i) => [
      {
        role: 'user',
        content: [...(i === 0 && image ? [{ type: 'image' }] : []), { type: 'text', text: t.user }],
      },
      { role: 'assistant', content: t.assistant },
    ]),
    image ? { imageTokens: [tokens] } : {},
  )
  const first = image ? ids.indexOf(tokenizer.tokenToId('<|image|>')!) : 0
  return {
    ids,
    ...(assistantMask ? { mask: assistantMask } : {}),
    ...(image ? { spans: [{ start: first, end: first + tokens }], images: [image] } : {}),
  }
}
