// From an image file to pixels for the encoder: decoding with limits, a patch size and a size that fit (PAPER.md 6.4).
import { stat } from 'node:fs/promises'
import sharp, { type Sharp } from 'sharp'
import { ShaktiError } from '@shakti/tensor'
import type { VisionConfig } from '../config.js'
import { visualTokens, type EncodedImage } from '../vlm.js'

/** A path, or the bytes of a file. */
export type ImageSource = string | Uint8Array

export interface ImageLimits {
  /** Pixels of the decoded picture, checked before decoding. Default 64 million. */
  maxPixels?: number
  /** Bytes of the file. Default 64 MiB. */
  maxBytes?: number
}

export class ImageError extends ShaktiError {
  override name = 'ImageError'
}

/** What the processor needs of a model. */
export interface ProcessorConfig {
  readonly vision: Pick<VisionConfig, 'patchSizes' | 'maxPatches'>
  readonly merge: number
  /** Default 0.5, for each channel. */
  readonly mean?: number
  readonly std?: number
}

/** Bytes in, one picture out. Formats that hold text or programs (SVG, PDF) could reach for other files: not read. */
const formats = ['jpeg', 'png', 'webp', 'gif', 'tiff', 'heif', 'jp2', 'jxl']

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
 * multiples of patch * merge, the aspect ratio about kept (after Qwen2-VL's smart_resize). An image too large for the
 * largest patch is scaled down first. Sides more than 200 times apart are refused.
 * @param forced a patch size to use instead: smaller ones keep fine print, as far as maxPatches lets them
 */
export function chooseSize(
  height: number,
  width: number,
  { vision, merge }: ProcessorConfig,
  forced?: number,
): { patch: number; height: number; width: number } {
  if (forced !== undefined && !vision.patchSizes.includes(forced)) {
    throw new ImageError(
      'chooseSize',
      `patch size ${forced} is not one of ${vision.patchSizes.join(', ')}.`,
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
  const { patchSizes, maxPatches } = vision
  const patch = forced ?? fittingPatchSizes(height, width, { vision })[0] ?? patchSizes.at(-1)!
  const unit = patch * merge
  const round = (v: number): number => Math.max(unit, Math.round(v / unit) * unit)
  const patches = (h: number, w: number): number => (h / patch) * (w / patch)
  let [h, w] = [round(height), round(width)]
  if (patches(h, w) > maxPatches) {
    const scale = Math.sqrt((maxPatches * patch * patch) / (height * width))
    const down = (v: number): number => Math.max(unit, Math.floor((v * scale) / unit) * unit)
    ;[h, w] = [down(height), down(width)]
    // A very long image cannot go below one unit on its short side: then the long side gives.
    if (patches(h, w) > maxPatches) {
      const room = Math.floor(maxPatches / (merge * merge)) * unit
      ;[h, w] =
        h > w
          ? [Math.floor(room / (w / unit) / unit) * unit, w]
          : [h, Math.floor(room / (h / unit) / unit) * unit]
    }
  }
  return { patch, height: h, width: w }
}

/** 8-bit RGB rows to normalised floats. */
export function normalizePixels(
  rgb: Uint8Array,
  { mean = 0.5, std = 0.5 }: Pick<ProcessorConfig, 'mean' | 'std'> = {},
): Float32Array {
  const out = new Float32Array(rgb.length)
  const scale = 1 / (255 * std)
  const shift = mean / std
  for (let i = 0; i < rgb.length; i++) out[i] = rgb[i]! * scale - shift
  return out
}

async function fileSize(path: string): Promise<number> {
  try {
    const s = await stat(path)
    if (s.isFile()) return s.size
  } catch (error) {
    throw new ImageError(
      path,
      `cannot be opened: ${(error as NodeJS.ErrnoException).code ?? 'unknown reason'}.`,
    )
  }
  throw new ImageError(path, 'is not a file.')
}

/** Turns image files into what the encoder reads. */
export class ImageProcessor {
  constructor(
    readonly config: ProcessorConfig,
    readonly limits: ImageLimits = {},
  ) {}

  /**
   * Decodes (JPEG, PNG, WebP, GIF, TIFF, HEIF/AVIF; first frame, upright, transparency on white, any colour space to sRGB), resizes (cubic) and normalises.
   * @param options.patch forces a patch size
   * @throws ImageError for files that are too large, truncated or not images
   */
  async encode(source: ImageSource, options: { patch?: number } = {}): Promise<EncodedImage> {
    const name = typeof source === 'string' ? source : 'image'
    const { maxPixels = 64_000_000, maxBytes = 64 << 20 } = this.limits
    if (typeof source !== 'string' && !(source instanceof Uint8Array))
      throw new ImageError(
        name,
        `is ${String(source)}; a path or the bytes of a file are expected.`,
      )
    const bytes = typeof source === 'string' ? await fileSize(source) : source.byteLength
    if (bytes > maxBytes)
      throw new ImageError(name, `has ${bytes} bytes, more than the limit of ${maxBytes}.`)
    // metadata() reads the header alone, so it needs no limit: ours then names the size it found.
    const open = (limit: number | false): Sharp =>
      sharp(source, { limitInputPixels: limit, failOn: 'warning', pages: 1 })
    try {
      const { width, height, orientation = 1, format } = await open(false).metadata()
      if (!formats.includes(format))
        throw new ImageError(name, `is a file of format ${format}; ${formats.join(', ')} are read.`)
      if (width * height > maxPixels) {
        throw new ImageError(
          name,
          `is ${width} x ${height} pixels, more than the limit of ${maxPixels}.`,
        )
      }
      // Orientations 5 to 8 lie on their side.
      const size =
        orientation >= 5
          ? chooseSize(width, height, this.config, options.patch)
          : chooseSize(height, width, this.config, options.patch)
      const { data } = await open(maxPixels)
        .rotate()
        .flatten({ background: '#ffffff' })
        .toColourspace('srgb')
        .resize(size.width, size.height, { fit: 'fill', kernel: 'cubic' })
        .removeAlpha()
        .raw()
        .toBuffer({ resolveWithObject: true })
      if (data.length !== size.width * size.height * 3)
        throw new ImageError(name, `decoded to ${data.length} bytes instead of RGB.`)
      return { pixels: normalizePixels(data, this.config), ...size }
    } catch (error) {
      if (error instanceof ShaktiError) throw error
      throw new ImageError(
        name,
        `cannot be read as an image: ${(error as Error).message.split('\n')[0]}.`,
      )
    }
  }

  /** Tokens that an image takes in the text. */
  tokens(image: EncodedImage): number {
    return visualTokens(image, this.config.merge)
  }
}
