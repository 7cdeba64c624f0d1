// Questions about pictures that were not trained on, and their scores.
import { noGrad, tidy } from '@shakti/tensor'
import {
  scoreAnswers,
  type Answered as AnsweredOf,
  type Control,
  type Score as ScoreOf,
  type ShaktiVlm,
} from '@shakti/vlm'
import type { Artist } from './data/artists.js'
import { heldOutConcepts, withArticle } from './data/concepts.js'
import { pictureInWords } from './data/corpus.js'
import {
  askQuestion,
  phrasings,
  questionTypes,
  taughtTypes,
  type Phrasing,
  type Question,
  type QuestionType,
} from './data/questions.js'
import { Random } from './data/random.js'
import { composeScene, places, type Scene } from './data/scenes.js'
import { drawPicture, type Picture } from './pictures.js'
import { heads, together, type Materials } from './stages.js'

export interface Asked {
  readonly question: Question
  readonly picture: Picture
}

export type Answered = AnsweredOf<Asked>
export type Score = ScoreOf<Asked>

/** One question of each of `types` about each scene, in the phrasings of training or in the one that it never used. */
export function askAbout(
  m: Materials,
  artists: readonly Artist[],
  scenes: number,
  seed: number,
  phrasing: Phrasing = 'seen',
  types: readonly QuestionType[] = questionTypes,
): Asked[] {
  const out: Asked[] = []
  for (let i = 0; i < scenes; i++) {
    const random = new Random(seed, 900, i)
    const scene = composeScene(random)
    const picture = draw(m, scene, random, artists)
    for (const type of types) {
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

/**
 * What share of the questions about pictures in words is answered right, to the last token: what the decoder can do with
 * perfect eyes, and so the most that the stages after the first can reach. Their loss hides it: of an answer's tokens all
 * but the first are easy.
 */
export async function scoreInWords(
  model: ShaktiVlm,
  { chat, recipe }: Materials,
  n: number,
): Promise<Record<QuestionType, number>> {
  const shares: [QuestionType, number][] = []
  for (const type of taughtTypes) {
    const samples = Array.from({ length: n }, (_, i) => {
      const random = new Random(recipe.seed, 902, i)
      for (;;) {
        const scene = composeScene(random)
        const question = askQuestion(scene, type, random)
        if (!question) continue
        const { text: user, answer: assistant } = question
        return chat.dialogue([{ user, assistant }], { grid: pictureInWords(scene, 4) })
      }
    })
    const batch = together(chat, samples)
    // Greedy decoding gives the answer exactly where every token of it is the likeliest after those before.
    const likeliest = await tidy(() =>
      noGrad(() => heads.head(model, heads.hidden(model, heads.place(model, batch))).argmax(-1)),
    ).data()
    const right = samples.filter((_, row) =>
      batch.labels
        .subarray(row * batch.length, (row + 1) * batch.length)
        .every((label, at) => label < 0 || Number(likeliest[row * batch.length + at]) === label),
    )
    shares.push([type, right.length / n])
  }
  return Object.fromEntries(shares) as Record<QuestionType, number>
}

/** Chance of a whole question list: each type's level, weighted by how often it is asked. */
export function chanceOf(
  asked: readonly Asked[],
  levels: Readonly<Record<QuestionType, number>>,
): number {
  return asked.reduce((sum, a) => sum + levels[a.question.type], 0) / asked.length
}
