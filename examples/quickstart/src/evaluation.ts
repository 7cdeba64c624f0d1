// Questions about pictures that were not trained on, and their scores.
import {
  scoreAnswers,
  type Answered as AnsweredOf,
  type Control,
  type Score as ScoreOf,
  type ShaktiVlm,
} from '@shakti/vlm'
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

export type Answered = AnsweredOf<Asked>
export type Score = ScoreOf<Asked>

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

/** Answers every question and scores it. */
export const score = (
  model: ShaktiVlm,
  { chat }: Materials,
  asked: readonly Asked[],
  control: Control = 'none',
): Promise<Score> =>
  scoreAnswers(model, asked, {
    image: ({ picture }) => picture.image,
    prompt: ({ question, picture }, image) =>
      chat.prompt(question.text, { image, tokens: picture.tokens }),
    decode: (ids) => chat.tokenizer.decode(ids),
    stopTokens: [chat.end],
    padId: chat.pad,
    maxTokens: 16,
    control,
  })

/** Chance of a whole question list: each type's level, weighted by how often it is asked. */
export function chanceOf(
  asked: readonly Asked[],
  levels: Readonly<Record<QuestionType, number>>,
): number {
  return asked.reduce((sum, a) => sum + levels[a.question.type], 0) / asked.length
}
