// Questions about a scene, in words, and their answers.
import { concepts, kinds, withArticle, type Concept } from './concepts.js'
import { Random } from './random.js'
import { composeScene, places, paperNames, type Scene } from './scenes.js'

export const questionTypes = ['name', 'kind', 'count', 'exists', 'paper', 'relation'] as const
/** What is taught: 'where' is half of 'relation', and scored apart from the six. */
export const taughtTypes = [...questionTypes, 'where'] as const
export type QuestionType = (typeof taughtTypes)[number]

export interface Question {
  readonly type: QuestionType
  readonly text: string
  readonly answer: string
}

const numbers = ['zero', 'one', 'two', 'three', 'four']

/** Ways to ask; the last of each is never used in training. */
export const phrasings: Readonly<Record<QuestionType, readonly string[]>> = {
  name: [
    'what is in the {place}?',
    'what do you see in the {place}?',
    'what stands in the {place}?',
  ],
  kind: [
    'what kind of thing is in the {place}?',
    'the thing in the {place} is of what kind?',
    'of what kind is the thing in the {place}?',
  ],
  count: [
    'how many things are there?',
    'how many things do you see?',
    'how many things are in the picture?',
  ],
  exists: ['is there {thing}?', 'do you see {thing}?', 'is {thing} there?'],
  paper: [
    'what colour is the paper?',
    'the paper has what colour?',
    'what is the colour of the paper?',
  ],
  where: ['where is {thing}?', 'where do you see {thing}?', 'where does {thing} stand?'],
  relation: [
    'what is {side} {thing}?',
    'what do you see {side} {thing}?',
    'what stands {side} {thing}?',
  ],
}

/** Which phrasings to draw from: those of training, or the one held out. */
export type Phrasing = 'seen' | 'held out'

function phrase(type: QuestionType, which: Phrasing, random: Random): string {
  const all = phrasings[type]
  return which === 'seen' ? random.pick(all.slice(0, -1)) : all.at(-1)!
}

const nameOf = (concept: { readonly name: string } | undefined): string =>
  concept ? withArticle(concept.name) : 'nothing'
const theName = (name: string): string => `the ${name}`

/** Places of things that stand in the scene once. */
const uniquePlaces = ({ cells }: Scene): number[] =>
  [0, 1, 2, 3].filter((i) => cells[i] && cells.filter((c) => c === cells[i]).length === 1)

/** Cell next to `i` on a side, or undefined at the border. */
const neighbours: readonly {
  readonly side: string
  readonly of: (i: number) => number | undefined
}[] = [
  { side: 'left of', of: (i) => (i % 2 === 1 ? i - 1 : undefined) },
  { side: 'right of', of: (i) => (i % 2 === 0 ? i + 1 : undefined) },
  { side: 'above', of: (i) => (i >= 2 ? i - 2 : undefined) },
  { side: 'below', of: (i) => (i < 2 ? i + 2 : undefined) },
]

/**
 * A question of the given type, or undefined where the scene has none (no thing that stands alone in its kind).
 * @param of what may be asked for though it is not there
 */
export function askQuestion(
  scene: Scene,
  type: QuestionType,
  random: Random,
  which: Phrasing = 'seen',
  of: readonly Concept[] = concepts,
): Question | undefined {
  const text = phrase(type, which, random)
  switch (type) {
    case 'name': {
      const i = random.int(4)
      return { type, text: text.replace('{place}', places[i]!), answer: nameOf(scene.cells[i]) }
    }
    case 'kind': {
      const full = [0, 1, 2, 3].filter((i) => scene.cells[i])
      const i = random.pick(full)
      return {
        type,
        text: text.replace('{place}', places[i]!),
        answer: withArticle(scene.cells[i]!.kind),
      }
    }
    case 'count':
      return { type, text, answer: numbers[scene.cells.filter(Boolean).length]! }
    case 'exists': {
      const there = scene.cells.flatMap((c) => (c ? [c.name] : []))
      const yes = random.next() < 0.5
      const absent = of.filter((c) => !there.includes(c.name))
      const name = yes ? random.pick(there) : random.pick(absent).name
      return { type, text: text.replace('{thing}', withArticle(name)), answer: yes ? 'yes' : 'no' }
    }
    case 'paper':
      return { type, text, answer: scene.paper }
    case 'where': {
      const options = uniquePlaces(scene)
      if (options.length === 0) return undefined
      const i = random.pick(options)
      return {
        type,
        text: text.replace('{thing}', theName(scene.cells[i]!.name)),
        answer: places[i]!,
      }
    }
    case 'relation': {
      // The place before the name: two look-ups in turn, where a bare name asks for both at once.
      const options = uniquePlaces(scene).flatMap((i) =>
        neighbours.flatMap(({ side, of }) => {
          const j = of(i)
          return j === undefined
            ? []
            : [
                {
                  side,
                  thing: scene.cells[i]!.name,
                  answer: `${places[j]!}: ${nameOf(scene.cells[j])}`,
                },
              ]
        }),
      )
      if (options.length === 0) return undefined
      const { side, thing, answer } = random.pick(options)
      return { type, text: text.replace('{side}', side).replace('{thing}', theName(thing)), answer }
    }
  }
}

export const describeRequest = 'describe the picture.'

/** A caption that names every cell. */
export function caption(scene: Scene): string {
  const cells = scene.cells.map((c, i) => `${places[i]!}: ${nameOf(c)}`)
  return `${scene.paper} paper. ${cells.join('. ')}.`
}

/** What the best constant answer of each type would score: the chance level. */
export function chanceLevels(samples = 4000): Readonly<Record<QuestionType, number>> {
  const counts = new Map<QuestionType, Map<string, number>>()
  const random = new Random(12345)
  for (let n = 0; n < samples; n++) {
    const scene = composeScene(random)
    for (const type of taughtTypes) {
      const q = askQuestion(scene, type, random)
      if (!q) continue
      const of = counts.get(type) ?? new Map<string, number>()
      of.set(q.answer, (of.get(q.answer) ?? 0) + 1)
      counts.set(type, of)
    }
  }
  return Object.fromEntries(
    taughtTypes.map((type) => {
      const values = [...(counts.get(type) ?? new Map<string, number>()).values()]
      return [type, Math.max(...values) / values.reduce((a, b) => a + b, 0)]
    }),
  ) as Record<QuestionType, number>
}

const names = ['nothing', ...concepts.map((c) => withArticle(c.name))]

/** Every answer that any question can have. */
export const allAnswers: readonly string[] = [
  ...names,
  'yes',
  'no',
  ...numbers.slice(1),
  ...paperNames,
  ...kinds.map(withArticle),
  ...places,
  ...places.flatMap((place) => names.map((name) => `${place}: ${name}`)),
]
