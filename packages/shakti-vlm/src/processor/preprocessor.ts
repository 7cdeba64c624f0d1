// preprocessor_config.json: what the image processor needs, under the names that Hugging Face's image processors use.
import { z } from 'zod'
import { FileFormatError } from '@shakti/tensor'
import { checkProcessor, type ProcessorConfig } from './size.js'

type Channels = [number, number, number]

const count = z.number().int().positive()
const channels = z.tuple([z.number(), z.number(), z.number()])

// Strict: a field of another processor (crops, tiles, another filter) would change the pixels, so it is not skipped.
const schema = z
  .object({
    image_processor_type: z.literal('ShaktiImageProcessor'),
    patch_sizes: z.array(count.max(64)).min(1).max(64),
    max_patches: count.max(1 << 20),
    merge_size: count.max(4),
    min_pixels: count.optional(),
    max_pixels: count.optional(),
    image_mean: channels,
    image_std: channels,
    /** Pillow's number of the filter: 3 is bicubic. */
    resample: z.literal(3).default(3),
  })
  .strict()

/** One number for all channels as three. */
export function perChannel(v: number | readonly [number, number, number]): Channels {
  return typeof v === 'number' ? [v, v, v] : [...v]
}

/** A processor's config as preprocessor_config.json has it. */
export function toHfPreprocessor(config: ProcessorConfig): Record<string, unknown> {
  checkProcessor(config)
  const { vision, merge, minPixels, maxPixels, mean = 0.5, std = 0.5 } = config
  return {
    image_processor_type: 'ShaktiImageProcessor',
    patch_sizes: vision.patchSizes,
    max_patches: vision.maxPatches,
    merge_size: merge,
    ...(minPixels === undefined ? {} : { min_pixels: minPixels }),
    ...(maxPixels === undefined ? {} : { max_pixels: maxPixels }),
    image_mean: perChannel(mean),
    image_std: perChannel(std),
    resample: 3,
  }
}

/** @throws FileFormatError naming the field that is missing, unknown or out of bounds */
export function fromHfPreprocessor(
  json: unknown,
  file = 'preprocessor_config.json',
): ProcessorConfig {
  const parsed = schema.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw new FileFormatError(file, issue.path.join('.') || 'preprocessor', issue.message)
  }
  const c = parsed.data
  const config: ProcessorConfig = {
    vision: { patchSizes: c.patch_sizes, maxPatches: c.max_patches },
    merge: c.merge_size,
    ...(c.min_pixels === undefined ? {} : { minPixels: c.min_pixels }),
    ...(c.max_pixels === undefined ? {} : { maxPixels: c.max_pixels }),
    mean: c.image_mean,
    std: c.image_std,
  }
  try {
    checkProcessor(config)
  } catch (error) {
    throw new FileFormatError(file, 'preprocessor', (error as Error).message)
  }
  return config
}
