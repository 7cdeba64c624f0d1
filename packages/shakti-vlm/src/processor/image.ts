// From an image file to pixels for the encoder: decoding with limits, a patch size and a size that fit (PAPER.md 6.4).
import { stat } from 'node:fs/promises'
import sharp, { type Sharp } from 'sharp'
import { ShaktiError } from '@shakti/tensor'
import { visualTokens, type EncodedImage } from '../vlm.js'
import { perChannel } from './preprocessor.js'
import { resizeBicubic, type Size } from './resize.js'
import {
  checkProcessor,
  chooseSize,
  ImageError,
  type PatchedSize,
  type ProcessorConfig,
} from './size.js'
import { checkImages, chunks, type Chunk } from './splice.js'

/** A path, or the bytes of a file. */
export type ImageSource = string | Uint8Array

/** What a file may ask of this machine; how large the picture becomes is the `ProcessorConfig`'s matter. */
export interface ImageLimits {
  /** Pixels of the decoded picture, checked by the header before decoding. Default 64 million (192 MB). */
  maxDecodedPixels?: number
  /** Bytes of the file. Default 64 MiB. */
  maxBytes?: number
}

export interface ImageOptions {
  /** Forces a patch size. */
  patch?: number
}

/** Bytes in, one picture out. Formats that hold text or programs (SVG, PDF) could reach for other files: not read. */
const formats = ['jpeg', 'png', 'webp', 'gif', 'tiff', 'heif', 'jp2', 'jxl']

/** 8-bit RGB rows to normalised floats: (value / 255 - mean) / std. */
export function normalizePixels(
  rgb: Uint8Array,
  { mean = 0.5, std = 0.5 }: Pick<ProcessorConfig, 'mean' | 'std'> = {},
): Float32Array {
  const [means, stds] = [perChannel(mean), perChannel(std)]
  const table = Float32Array.from(
    { length: 3 * 256 },
    (_, i) => ((i & 255) / 255 - means[i >> 8]!) / stds[i >> 8]!,
  )
  const out = new Float32Array(rgb.length)
  for (let i = 0; i < rgb.length; i += 3) {
    out[i] = table[rgb[i]!]!
    out[i + 1] = table[256 + rgb[i + 1]!]!
    out[i + 2] = table[512 + rgb[i + 2]!]!
  }
  return out
}

/** RGBA onto white, rounded to the nearest as Pillow does; libvips' flatten rounds down, which darkens. */
function ontoWhite(rgba: Uint8Array): Uint8Array {
  const out = new Uint8Array((rgba.length / 4) * 3)
  for (let i = 0, o = 0; i < rgba.length; i += 4) {
    const alpha = rgba[i + 3]!
    const white = 255 * (255 - alpha)
    for (let c = 0; c < 3; c++) out[o++] = Math.round((rgba[i + c]! * alpha + white) / 255)
  }
  return out
}

/** Cyan, magenta, yellow and black to RGB as Pillow has it, (255 - ink) * (255 - black) / 255 to the nearest, without a profile. */
function fromInks(cmyk: Uint8Array): Uint8Array {
  const out = new Uint8Array((cmyk.length / 4) * 3)
  for (let i = 0, o = 0; i < cmyk.length; i += 4) {
    const light = 255 - cmyk[i + 3]!
    for (let c = 0; c < 3; c++) out[o++] = light - Math.round((cmyk[i + c]! * light) / 255)
  }
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

const nameOf = (source: ImageSource): string => (typeof source === 'string' ? source : 'image')

const isSource = (source: unknown): source is ImageSource =>
  typeof source === 'string' || source instanceof Uint8Array

const isSize = (source: unknown): source is Size => {
  const { height, width } = (source ?? {}) as Partial<Size>
  return Number.isInteger(height) && Number.isInteger(width)
}

/** Turns image files into what the encoder reads. */
export class ImageProcessor {
  /** @throws ImageError naming the field of `config` that no image could satisfy */
  constructor(
    readonly config: ProcessorConfig,
    readonly limits: ImageLimits = {},
  ) {
    checkProcessor(config)
  }

  /**
   * Decodes (JPEG, PNG, WebP, GIF, TIFF, HEIF/AVIF; first frame, upright, transparency on white, any colour space to sRGB),
   * resizes with Pillow's bicubic and normalises.
   * @throws ImageError for files that are too large, truncated or not images
   */
  async encode(source: ImageSource, options: ImageOptions = {}): Promise<EncodedImage> {
    const picture = await this.#header(source)
    const { patch, ...size } = chooseSize(picture.height, picture.width, this.config, options.patch)
    const rgb = await resizeBicubic(await this.#decode(source, picture), picture, size)
    return { pixels: normalizePixels(rgb, this.config), ...size, patch }
  }

  /**
   * The size that `encode` brings an image to, from the header of its file alone.
   * @param source a file, or the size of an upright picture
   * @throws ImageError as `encode` does, but for damage behind the header
   */
  async measure(source: ImageSource | Size, options: ImageOptions = {}): Promise<PatchedSize> {
    const { height, width } = isSize(source)
      ? this.#checkPixels('image', source)
      : await this.#header(source)
    return chooseSize(height, width, this.config, options.patch)
  }

  /** Tokens that an image takes in the text, exactly, before anything is decoded; arguments as for `measure`. */
  async count(source: ImageSource | Size, options: ImageOptions = {}): Promise<number> {
    return this.tokens(await this.measure(source, options))
  }

  /** Tokens that an image of this size takes in the text. */
  tokens(image: PatchedSize): number {
    return visualTokens(image, this.config.merge)
  }

  /**
   * A prompt of text and images as chunks, for `splice`. A file that stands in `sources` twice is decoded once.
   * @param ids each image as a single image token, as the chat template writes it
   * @throws PromptError, before a file is opened, when `ids` names more or fewer images than there are; ImageError
   */
  async encodePrompt(
    ids: ArrayLike<number>,
    sources: readonly ImageSource[],
    options: ImageOptions & { imageToken: number },
  ): Promise<Chunk[]> {
    const { imageToken } = options
    checkImages(ids, sources.length, imageToken)
    const encoded = new Map<ImageSource, EncodedImage>()
    // One after the other: the memory of one decoded picture is enough.
    for (const source of sources)
      if (!encoded.has(source)) encoded.set(source, await this.encode(source, options))
    const images = sources.map((source) => encoded.get(source)!)
    return chunks(ids, images, { imageToken, merge: this.config.merge })
  }

  /** Places that `encodePrompt`'s chunks take in the sequence, from the files' headers; throws as it does. */
  async countPrompt(
    ids: ArrayLike<number>,
    sources: readonly (ImageSource | Size)[],
    options: ImageOptions & { imageToken: number },
  ): Promise<number> {
    checkImages(ids, sources.length, options.imageToken)
    let places = ids.length - sources.length
    for (const source of sources) places += await this.count(source, options)
    return places
  }

  #checkPixels(name: string, { height, width }: Size): Size {
    const { maxDecodedPixels = 64_000_000 } = this.limits
    if (width * height > maxDecodedPixels) {
      throw new ImageError(
        name,
        `is ${width} x ${height} pixels, more than the limit of ${maxDecodedPixels}.`,
      )
    }
    return { height, width }
  }

  #open(source: ImageSource, limit: number | false): Sharp {
    return sharp(source, { limitInputPixels: limit, failOn: 'warning', pages: 1 })
  }

  /** The size of the upright picture. */
  async #header(source: ImageSource): Promise<Size> {
    if (!isSource(source)) {
      throw new ImageError(
        'image',
        `is ${String(source)}; a path or the bytes of a file are expected.`,
      )
    }
    const name = nameOf(source)
    const { maxBytes = 64 << 20 } = this.limits
    const bytes = typeof source === 'string' ? await fileSize(source) : source.byteLength
    if (bytes > maxBytes)
      throw new ImageError(name, `has ${bytes} bytes, more than the limit of ${maxBytes}.`)
    return this.#reading(name, async () => {
      // metadata() reads the header alone, so it needs no limit: ours then names the size it found.
      const { width, height, orientation = 1, format } = await this.#open(source, false).metadata()
      if (!formats.includes(format))
        throw new ImageError(name, `is a file of format ${format}; ${formats.join(', ')} are read.`)
      this.#checkPixels(name, { height, width })
      // Orientations 5 to 8 lie on their side.
      return orientation >= 5 ? { height: width, width: height } : { height, width }
    })
  }

  /** 8-bit RGB of the upright picture. Whole: shrinking while decoding would give other pixels. */
  async #decode(source: ImageSource, { height, width }: Size): Promise<Uint8Array> {
    const name = nameOf(source)
    return this.#reading(name, async () => {
      const file = this.#open(source, height * width)
      const inks = (await file.metadata()).space === 'cmyk'
      // As inks: sharp would bring them to sRGB through a profile of print.
      const upright = inks ? file.pipelineColourspace('cmyk').autoOrient() : file.autoOrient()
      const { data, info } = await upright
        .toColourspace(inks ? 'cmyk' : 'srgb')
        .raw()
        .toBuffer({ resolveWithObject: true })
      const { channels } = info
      if (
        info.height !== height ||
        info.width !== width ||
        (channels !== 4 && (channels !== 3 || inks)) ||
        data.length !== height * width * channels
      ) {
        throw new ImageError(
          name,
          `decoded to ${info.width} x ${info.height} x ${channels} in ${data.length} bytes, its header says ${width} x ${height}.`,
        )
      }
      return inks ? fromInks(data) : channels === 4 ? ontoWhite(data) : data
    })
  }

  async #reading<T>(name: string, read: () => Promise<T>): Promise<T> {
    try {
      return await read()
    } catch (error) {
      if (error instanceof ShaktiError) throw error
      throw new ImageError(
        name,
        `cannot be read as an image: ${(error as Error).message.split('\n')[0]}.`,
      )
    }
  }
}
