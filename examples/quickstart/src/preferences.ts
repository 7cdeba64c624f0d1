// Preference pairs, made honestly: chosen is the right answer; rejected the model's own wrong answer to the same question
// (on-policy) or, where it answers right, the answer for another picture. From training artists and concepts alone.
import type { Preference } from '@shakti/trainer'
import type { EncodedImage, ShaktiVlm } from '@shakti/vlm'
import { questionsAbout } from './data/corpus.js'
import { Random } from './data/random.js'
import { score, type Asked } from './evaluation.js'
import { makePicture } from './pictures.js'
import { patchOfStep, type Materials } from './stages.js'

export interface PreferencePairs {
  readonly pairs: Preference<EncodedImage>[]
  /** How many rejected answers are the model's own. */
  readonly onPolicy: number
}

export async function makePreferences(
  model: ShaktiVlm,
  m: Materials,
  n: number,
): Promise<PreferencePairs> {
  const { recipe, drawings, artists, chat } = m
  const asked: Asked[] = Array.from({ length: n }, (_, i) => {
    const random = new Random(recipe.seed, 4, i)
    const picture = makePicture(recipe.seed, 3_000_000 + i, patchOfStep(m, 0), {
      drawings,
      artists,
      augment: true,
      merge: 2,
    })
    return { picture, question: questionsAbout(picture.scene, 1, random)[0]! }
  })
  const { answered } = await score(model, m, asked)
  let onPolicy = 0
  const pairs: Preference<EncodedImage>[] = []
  answered.forEach(({ question, picture, answer, right }, i) => {
    let wrong = answer
    if (right) {
      const other = asked.find(
        (a, k) =>
          k > i && a.question.type === question.type && a.question.answer !== question.answer,
      )
      if (!other) return
      wrong = other.question.answer
    } else if (answer === '') return
    else onPolicy++
    const sample = (assistant: string) =>
      chat.dialogue([{ user: question.text, assistant }], { image: picture })
    pairs.push({ chosen: sample(question.answer), rejected: sample(wrong) })
  })
  return { pairs, onPolicy }
}
