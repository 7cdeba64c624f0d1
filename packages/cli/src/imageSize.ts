// Sizes of images as people write them, and as the model's encoder takes them.

import { text, UsageError } from '@shakti/tokenizer/command-line'
import type { Arguments } from '@shakti/tokenizer/command-line'
import { chooseSize } from '@shakti/vlm'
import type { ShaktiVlmConfig } from '@shakti/vlm'

export interface ImageSize {
  readonly width: number
  readonly height: number
  readonly patch: number
}

/** --image WIDTHxHEIGHT, brought to the size that the processor would bring it to. */
export function imageSize(args: Arguments, config: ShaktiVlmConfig): ImageSize | undefined {
  const given = text(args, 'image')
  if (given === undefined) return undefined
  const [, width, height] = /^(\d{1,6})\s*[x×]\s*(\d{1,6})$/i.exec(given) ?? []
  if (width === undefined)
    throw new UsageError(`--image is ${JSON.stringify(given)}. A size such as 896x896 is expected.`)
  const { vision, projector } = config
  return chooseSize(Number(height), Number(width), { vision, merge: projector.merge })
}

/** Visual tokens of an image. */
export const tokensOf = ({ width, height, patch }: ImageSize, config: ShaktiVlmConfig): number =>
  (width * height) / (patch * config.projector.merge) ** 2
