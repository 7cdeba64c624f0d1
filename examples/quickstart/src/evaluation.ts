// Questions about pictures that were not trained on, answered by generation and scored by exact match, beside two controls:
// the picture blanked, and another question's picture.
import { generateBatch, type EncodedImage, type ShaktiVlm } from '@shakti/vlm'
import type { Artist } from './data/artists.js'
import { heldOutConcepts, withArticle } from './data/concepts.js'
import {
  askQuestion,
  phrasings,
  questionTypes,
  type Phrasing,
  type Question,
  type QuestionType,
} from './data/questions.js'
import { Random } from './data/random.js'
import { composeScene, places, type Scene } from './data/scenes.js'
import { drawPicture, type Picture } from './pictures.js'
import type { Materials } from './stages.js'

export interface Asked {
  readonly question: Question
  readonly picture: Picture
}

export interface Answered extends Asked {
  readonly answer: string
  readonly right: boolean
}

export interface Score {
  readonly accuracy: number
  readonly byType: Readonly<Record<string, number>>
  readonly questions: number
  readonly answered: readonly Answered[]
}

/** One question of each type about each scene, in the phrasings of training or in the one that it never used. */
export function askAbout(
  m: Materials,
  artists: readonly Artist[],
  scenes: number,
  seed: number,
  phrasing: Phrasing = 'seen',
): Asked[] {
  const out: Asked[] = []
  for (let i = 0; i < scenes; i++) {
    const random = new Random(seed, 900, i)
    const scene = composeScene(random)
    const picture = draw(m, scene, random, artists)
    for (const type of questionTypes) {
      const question = askQuestion(scene, type, random, phrasing)
      if (question) out.push({ question, picture })
    }
  }
  return out
}

/** What kind of thing: about concepts that no training picture showed. */
export function askAboutNewConcepts(
  m: Materials,
  artists: readonly Artist[],
  scenes: number,
  seed: number,
): Asked[] {
  return Array.from({ length: scenes }, (_, i) => {
    const random = new Random(seed, 901, i)
    const scene = composeScene(random, { of: heldOutConcepts })
    const cell = random.pick([0, 1, 2, 3].filter((c) => scene.cells[c]))
    const text = phrasings.kind[0]!.replace('{place}', places[cell]!)
    return {
      question: { type: 'kind' as const, text, answer: withArticle(scene.cells[cell]!.kind) },
      picture: draw(m, scene, random, artists),
    }
  })
}

function draw(m: Materials, scene: Scene, random: Random, artists: readonly Artist[]): Picture {
  const sizes = m.recipe.vision.patchSizes
  const patch = sizes.at(-1)!
  return drawPicture(scene, random, patch, {
    drawings: m.drawings,
    artists,
    augment: false,
    merge: 2,
  })
}

export type Control = 'none' | 'blank' | 'wrong'

function shown(asked: readonly Asked[], i: number, control: Control): EncodedImage {
  const { image } = asked[i]!.picture
  if (control === 'blank') return { ...image, pixels: new Float32Array(image.pixels.length) }
  // Half the list away: always another scene.
  if (control === 'wrong')
    return asked[(i + Math.floor(asked.length / 2)) % asked.length]!.picture.image
  return image
}

const together = 96

/** Answers every question and scores it. */
export async function score(
  model: ShaktiVlm,
  m: Materials,
  asked: readonly Asked[],
  control: Control = 'none',
): Promise<Score> {
  const { chat } = m
  const answered: Answered[] = []
  for (let i = 0; i < asked.length; i += together) {
    const part = asked.slice(i, i + together)
    const prompts = part.map(({ question, picture }, k) =>
      chat.prompt(question.text, { image: shown(asked, i + k, control), tokens: picture.tokens }),
    )
    const outputs = await generateBatch(model, prompts, {
      stopTokens: [chat.end],
      maxTokens: 16,
      padId: chat.pad,
    })
    outputs.forEach((ids, k) => {
      const answer = chat.tokenizer.decode(ids)
      answered.push({ ...part[k]!, answer, right: answer === part[k]!.question.answer })
    })
  }
  const share = (list: readonly Answered[]): number =>
    list.length === 0 ? 0 : list.filter((a) => a.right).length / list.length
  const byType: Record<string, number> = {}
  for (const type of new Set(answered.map((a) => a.question.type)))
    byType[type] = share(answered.filter((a) => a.question.type === type))
  return { accuracy: share(answered), byType, questions: answered.length, answered }
}

/** Chance of a whole question list: each type's level, weighted by how often it is asked. */
export function chanceOf(
  asked: readonly Asked[],
  levels: Readonly<Record<QuestionType, number>>,
): number {
  return asked.reduce((sum, a) => sum + levels[a.question.type], 0) / asked.length
}
