// Which patch size and which size of picture an image gets (PAPER.md 6.4), from its sides alone: what is decoded, counted
// and budgeted agrees because all of it asks here.
import { ShaktiError } from '@shakti/tensor'
import type { VisionConfig } from '../config.js'
import type { Size } from './resize.js'

export class ImageError extends ShaktiError {
  override name = 'ImageError'
}

/** What the processor needs of a model; `preprocessor_config.json` holds it. */
export interface ProcessorConfig {
  readonly vision: Pick<VisionConfig, 'patchSizes' | 'maxPatches'>
  readonly merge: number
  /** Pixels of the resized picture, at least: smaller images are enlarged. Default: no such bound. */
  readonly minPixels?: number
  /** Pixels of the resized picture, at most: larger images are shrunk. Default: what `maxPatches` allows. */
  readonly maxPixels?: number
  /** Of pixels from 0 to 1, for all channels or for red, green and blue. Default 0.5. */
  readonly mean?: number | readonly [number, number, number]
  readonly std?: number | readonly [number, number, number]
}

/** The size an image is brought to, and the side of its patches. */
export interface PatchedSize extends Size {
  readonly patch: number
}

/** @throws ImageError naming the field of a config that no image could satisfy */
export function checkProcessor(config: ProcessorConfig): void {
  const { vision, merge, minPixels = 1, maxPixels = Infinity, mean = 0.5, std = 0.5 } = config
  const refuse = (field: string, problem: string): never => {
    throw new ImageError('ImageProcessor', `${field} ${problem}.`)
  }
  const { patchSizes, maxPatches } = vision
  const positive = (n: number): boolean => Number.isSafeInteger(n) && n > 0
  if (!(patchSizes.length > 0 && patchSizes.every(positive)))
    refuse('patchSizes', `is [${patchSizes.join(', ')}]; positive integers are expected`)
  if (patchSizes.some((p, i) => i > 0 && p <= patchSizes[i - 1]!))
    refuse('patchSizes', `must ascend, got [${patchSizes.join(', ')}]`)
  if (!positive(merge)) refuse('merge', `is ${merge}; a positive integer is expected`)
  if (!positive(maxPatches) || maxPatches < merge * merge)
    refuse('maxPatches', `is ${maxPatches}; an integer from merge * merge = ${merge * merge}`)
  if (!positive(minPixels)) refuse('minPixels', `is ${minPixels}; a positive integer is expected`)
  const least = (patchSizes[0]! * merge) ** 2
  if (!(positive(maxPixels) || maxPixels === Infinity) || maxPixels < least)
    refuse('maxPixels', `is ${maxPixels}; an integer from the ${least} pixels of one token on`)
  if (minPixels > maxPixels)
    refuse('minPixels', `of ${minPixels} is more than the maxPixels of ${maxPixels}`)
  if (![mean].flat().every(Number.isFinite)) refuse('mean', `is ${String(mean)}`)
  if (![std].flat().every((s) => Number.isFinite(s) && s > 0))
    refuse('std', `is ${String(std)}; numbers above 0 are expected`)
}

/** The patch sizes under which an image of this size has at most maxPatches patches; training draws among them. */
export function fittingPatchSizes(
  height: number,
  width: number,
  { vision }: Pick<ProcessorConfig, 'vision'>,
): number[] {
  return vision.patchSizes.filter(
    (p) => Math.ceil(height / p) * Math.ceil(width / p) <= vision.maxPatches,
  )
}

/**
 * The smallest patch size under which an image has at most maxPatches patches, and the size it is brought to: both sides
 * multiples of patch * merge, the area within [minPixels, maxPixels], the aspect ratio about kept (Qwen2-VL's
 * smart_resize, arXiv 2409.12191). Where the bounds leave no multiple between them, the upper one holds. An image too
 * large for the largest patch is scaled down. Sides more than 200 times apart are refused.
 * @param forced a patch size to use instead: smaller ones keep fine print, as far as maxPatches lets them
 */
export function chooseSize(
  height: number,
  width: number,
  config: ProcessorConfig,
  forced?: number,
): PatchedSize {
  const { vision, merge, minPixels = 1, maxPixels = Infinity } = config
  const { patchSizes, maxPatches } = vision
  if (forced !== undefined && !patchSizes.includes(forced)) {
    throw new ImageError(
      'chooseSize',
      `patch size ${forced} is not one of ${patchSizes.join(', ')}.`,
    )
  }
  if (!(height >= 1 && width >= 1))
    throw new ImageError('chooseSize', `an image of ${height} x ${width} has no pixels.`)
  if (Math.max(height / width, width / height) > 200) {
    throw new ImageError(
      'chooseSize',
      `sides of ${height} and ${width} are more than 200 times apart.`,
    )
  }
  const area = height * width
  // The patch size follows from what will be seen: a photo shrunk to maxPixels gets the patches of a small one.
  const shown = Math.sqrt(Math.min(Math.max(area, minPixels), maxPixels) / area)
  const seen = [height, width].map((v) => Math.max(1, Math.round(v * shown))) as [number, number]
  const patch = forced ?? fittingPatchSizes(...seen, { vision })[0] ?? patchSizes.at(-1)!
  const unit = patch * merge
  const most = Math.min(maxPixels, maxPatches * patch * patch)
  if (unit * unit > most) {
    throw new ImageError(
      'chooseSize',
      `a token of patches of ${patch} has ${unit} x ${unit} pixels, more than the ${most} allowed.`,
    )
  }
  /** Both sides scaled to an area, in whole units. */
  const scaled = (to: number, whole: (v: number) => number): [number, number] => {
    const by = Math.sqrt(area / to)
    return [height, width].map((v) => Math.max(1, whole(v / by / unit)) * unit) as [number, number]
  }
  // A quotient that is whole but for rounding of the root must not lose, or gain, a row of patches.
  const noise = 1e-9
  let [h, w] = scaled(area, Math.round)
  if (h * w < minPixels) [h, w] = scaled(minPixels, (v) => Math.ceil(v - noise))
  if (h * w > most) [h, w] = scaled(most, (v) => Math.floor(v + noise))
  // A very long image cannot go below one unit on its short side: then the long side gives.
  if (h * w > most) {
    const room = Math.floor(most / (unit * Math.min(h, w))) * unit
    ;[h, w] = h > w ? [room, w] : [h, room]
  }
  return { patch, height: h, width: w }
}
