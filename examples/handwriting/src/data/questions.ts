// Questions about two digits, their answers in words, and the same talk about scenes that are given in words (stage 1).
import { Random } from './random.js'
import { composeScene, inkNames, type Scene } from './scenes.js'

export const questionTypes = ['left', 'right', 'colour', 'larger', 'sum', 'number'] as const
export type QuestionType = (typeof questionTypes)[number]

export interface Question {
  readonly type: QuestionType
  readonly text: string
  readonly answer: string
}

const ones = [
  'zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve', 'thirteen',
  'fourteen', 'fifteen', 'sixteen', 'seventeen', 'eighteen',
] // prettier-ignore

/** 0 to 18 in words: digits and their sums. */
export function word(n: number): string {
  const w = ones[n]
  if (w === undefined) throw new Error(`[word] ${n} has no word here. 0 to 18 have.`)
  return w
}

/** Ways to ask; the last of each is never used in training. */
export const phrasings: Readonly<Record<QuestionType, readonly string[]>> = {
  left: ['what is the left digit?', 'which digit is on the left?', 'what digit is on the left?'],
  right: [
    'what is the right digit?',
    'which digit is on the right?',
    'what digit is on the right?',
  ],
  colour: [
    'what colour is the {side} digit?',
    'which colour has the {side} digit?',
    'the {side} digit is what colour?',
  ],
  larger: [
    'which digit is larger?',
    'which side has the larger digit?',
    'what side is the larger digit?',
  ],
  sum: ['what is the sum?', 'what is the sum of the digits?', 'what sum is it?'],
  number: ['read the number.', 'what is the number?', 'which number is it?'],
}

export type Phrasing = 'seen' | 'held out'

/** A question of the given type. Answers of `larger`: left, right or equal; of `number`: the two digits, "four two". */
export function askQuestion(
  scene: Scene,
  type: QuestionType,
  random: Random,
  which: Phrasing = 'seen',
): Question {
  const all = phrasings[type]
  const text = which === 'seen' ? random.pick(all.slice(0, -1)) : all.at(-1)!
  const { left, right } = scene
  switch (type) {
    case 'left':
      return { type, text, answer: word(left.digit) }
    case 'right':
      return { type, text, answer: word(right.digit) }
    case 'colour': {
      const side = random.pick(['left', 'right'] as const)
      return { type, text: text.replace('{side}', side), answer: scene[side].ink }
    }
    case 'larger':
      return {
        type,
        text,
        answer: left.digit === right.digit ? 'equal' : left.digit > right.digit ? 'left' : 'right',
      }
    case 'sum':
      return { type, text, answer: word(left.digit + right.digit) }
    case 'number':
      return { type, text, answer: `${word(left.digit)} ${word(right.digit)}` }
  }
}

export const describeRequest = 'describe the picture.'

/** A caption that names both digits and both inks. */
export function caption({ left, right }: Scene): string {
  return `left: ${left.ink} ${word(left.digit)}. right: ${right.ink} ${word(right.digit)}.`
}

/** Questions of random types about a scene. */
export function questionsAbout(scene: Scene, n: number, random: Random): Question[] {
  return Array.from({ length: n }, () => askQuestion(scene, random.pick(questionTypes), random))
}

/** A conversation; `context` is a description that precedes the first question. */
export interface Dialogue {
  readonly context?: string
  readonly turns: readonly { readonly user: string; readonly assistant: string }[]
}

/** The i-th dialogue in words alone: descriptions, questions about them, and sums and comparisons of two named digits. */
export function textDialogue(seed: number, i: number): Dialogue {
  const random = new Random(seed, 1, i)
  const scene = composeScene(random)
  if (random.next() < 0.25) {
    const turns = [0, 1, 2].map(() => {
      const [a, b] = [random.int(10), random.int(10)]
      return random.next() < 0.5
        ? { user: `what is ${word(a)} plus ${word(b)}?`, assistant: word(a + b) }
        : { user: `is ${word(a)} larger than ${word(b)}?`, assistant: a > b ? 'yes' : 'no' }
    })
    return { turns }
  }
  const context = caption(scene)
  if (random.next() < 0.15)
    return { context, turns: [{ user: describeRequest, assistant: context }] }
  return {
    context,
    turns: questionsAbout(scene, 5, random).map((q) => ({ user: q.text, assistant: q.answer })),
  }
}

/** Plain text for the tokenizer. */
export function* corpusText(seed: number, dialogues: number): Generator<string> {
  for (let i = 0; i < dialogues; i++) {
    const d = textDialogue(seed, i)
    yield [d.context ?? '', ...d.turns.flatMap((t) => [t.user, t.assistant])].join('\n')
  }
}

/** What the best constant answer of each type would score, worked out exactly over all pairs of digits. */
export const chanceLevels: Readonly<Record<QuestionType, number>> = {
  left: 1 / 10,
  right: 1 / 10,
  colour: 1 / inkNames.length,
  larger: 45 / 100,
  sum: 10 / 100, // nine, ten ways of a hundred
  number: 1 / 100,
}
