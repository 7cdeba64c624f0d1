// What generation starts from, and what is checked of it before any work.
import { ShaktiError } from '@shakti/tensor'
import { visualTokens, type EncodedImage, type ShaktiVlm } from '../vlm.js'

export interface Prompt {
  /** Token ids; each image stands there as as many image tokens as it has visual tokens (`splice` makes such ids). */
  readonly ids: ArrayLike<number>
  /** In the order of their placeholders. */
  readonly images?: readonly EncodedImage[]
}

/** A number from `least`, or an error that names the option. */
export function checkCount(what: string, field: string, value: number, least = 1): void {
  if (!Number.isSafeInteger(value) || value < least)
    throw new ShaktiError(what, `${field} is ${value}. It must be an integer from ${least}.`)
}

function checkImage(what: string, model: ShaktiVlm, image: EncodedImage, i: number): number {
  const { height, width, patch, pixels } = image
  const { vision, projector } = model.config
  const refuse = (message: string): never => {
    throw new ShaktiError(what, `image ${i}: ${message}`)
  }
  if (pixels.length !== height * width * 3)
    refuse(`says ${height} x ${width} x 3 and has ${pixels.length} numbers.`)
  if (!vision.patchSizes.includes(patch))
    refuse(`patch size ${patch} is not one of ${vision.patchSizes.join(', ')}.`)
  const unit = patch * projector.merge
  if (height % unit !== 0 || width % unit !== 0 || height === 0 || width === 0)
    refuse(
      `the sides of ${height} x ${width} must be multiples of ${unit}, ${projector.merge} patches of ${patch}.`,
    )
  const patches = (height / patch) * (width / patch)
  if (patches > vision.maxPatches)
    refuse(
      `${patches} patches are more than the ${vision.maxPatches} allowed. Use larger patches or a smaller image.`,
    )
  return visualTokens(image, projector.merge)
}

/**
 * Checks a prompt for a model: ids within the vocabulary, images that the encoder takes, as many placeholders as visual tokens,
 * room for a token in the context.
 * @returns for each position the number of its visual token, -1 where there is text
 */
export function checkPrompt(
  what: string,
  model: ShaktiVlm,
  { ids, images = [] }: Prompt,
): Int32Array {
  const { imageToken, decoder } = model.config
  if (ids.length === 0) throw new ShaktiError(what, 'the prompt is empty.')
  if (ids.length >= decoder.context)
    throw new ShaktiError(
      what,
      `the prompt of ${ids.length} tokens leaves no room in a context of ${decoder.context}.`,
    )
  const source = new Int32Array(ids.length).fill(-1)
  let places = 0
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!
    if (!Number.isInteger(id) || id < 0 || id >= decoder.vocab)
      throw new ShaktiError(
        what,
        `id ${id} at position ${i} is no token. Ids are integers from 0 to ${decoder.vocab - 1}.`,
      )
    if (id === imageToken) source[i] = places++
  }
  const expected = images.reduce((n, image, i) => n + checkImage(what, model, image, i), 0)
  if (places !== expected)
    throw new ShaktiError(
      what,
      `the text has ${places} image placeholders, the ${images.length} images have ${expected} tokens. Make both with one processor.`,
    )
  return source
}
