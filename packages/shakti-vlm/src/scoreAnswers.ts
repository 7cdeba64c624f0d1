// Questions about images, answered by generation and scored by exact match, beside two controls that tell what was seen
// from what was guessed: the image blanked, and another question's image.
import { generateBatch, type BatchOptions } from './generate/batch.js'
import type { Prompt } from './generate/prompt.js'
import type { EncodedImage, ShaktiVlm } from './vlm.js'

/** Something asked about an image; what else it carries comes back with the answer. */
export interface Asked {
  readonly question: { readonly type: string; readonly text: string; readonly answer: string }
}

export type Answered<A extends Asked> = A & { readonly answer: string; readonly right: boolean }

export interface Score<A extends Asked> {
  /** Share of right answers; 0 when nothing was asked. */
  readonly accuracy: number
  /** The same for each type of question that was asked. */
  readonly byType: Readonly<Record<string, number>>
  readonly answered: readonly Answered<A>[]
}

/** The image itself, a blank one (mid-grey), or that of the question half the list away. */
export type Control = 'none' | 'blank' | 'wrong'

/**
 * The image to show with question `i`.
 * @param images one for each question, in order; for 'wrong', those of one image must fill less than half of the list
 */
export function imageUnderControl(
  images: readonly EncodedImage[],
  i: number,
  control: Control,
): EncodedImage {
  const image = images[i]!
  if (control === 'blank') return { ...image, pixels: new Float32Array(image.pixels.length) }
  if (control === 'wrong') return images[(i + Math.floor(images.length / 2)) % images.length]!
  return image
}

export interface ScoreOptions<A extends Asked> extends BatchOptions {
  image: (asked: A) => EncodedImage
  /** The question as tokens, with the image to show. */
  prompt: (asked: A, image: EncodedImage) => Prompt
  decode: (ids: readonly number[]) => string
  /** Default 'none'. */
  control?: Control
  /** Questions answered together. Default 96. */
  batchSize?: number
}

/** Answers every question greedily; right is an answer that equals the question's, character by character. */
export async function scoreAnswers<A extends Asked>(
  model: ShaktiVlm,
  asked: readonly A[],
  options: ScoreOptions<A>,
): Promise<Score<A>> {
  const { image, prompt, decode, control = 'none', batchSize = 96 } = options
  const images = asked.map(image)
  const answered: Answered<A>[] = []
  for (let i = 0; i < asked.length; i += batchSize) {
    const part = asked.slice(i, i + batchSize)
    const outputs = await generateBatch(
      model,
      part.map((a, k) => prompt(a, imageUnderControl(images, i + k, control))),
      options,
    )
    outputs.forEach((ids, k) => {
      const answer = decode(ids)
      answered.push({ ...part[k]!, answer, right: answer === part[k]!.question.answer })
    })
  }
  const share = (list: readonly Answered<A>[]): number =>
    list.length === 0 ? 0 : list.filter((a) => a.right).length / list.length
  const types = [...new Set(answered.map((a) => a.question.type))]
  return {
    accuracy: share(answered),
    byType: Object.fromEntries(
      types.map((type) => [type, share(answered.filter((a) => a.question.type === type))]),
    ),
    answered,
  }
}
