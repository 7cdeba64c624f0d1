// Shakti-VLM: vision encoder, projector, decoder. Images enter the text where their placeholder tokens stand.
import {
  cat,
  ShaktiError,
  ShapeError,
  tensor,
  Tensor,
  type LinearCrossEntropyOptions,
} from '@shakti/tensor'
import { frugal, Module } from '@shakti/nn'
import { parseConfig, type ShaktiVlmConfig, type ShaktiVlmConfigInput } from './config.js'
import { Decoder, type DecoderInputs } from './decoder.js'
import { Projector } from './projector.js'
import { VisionEncoder } from './vision/encoder.js'

/** An image ready for the encoder. */
export interface EncodedImage {
  /** f32, normalised, row by row, 3 numbers a pixel: height * width * 3. */
  readonly pixels: Float32Array
  readonly height: number
  readonly width: number
  /** Side of a patch. */
  readonly patch: number
}

/** How many tokens an image takes in the text. */
export function visualTokens(
  image: Pick<EncodedImage, 'height' | 'width' | 'patch'>,
  merge: number,
): number {
  return (image.height / image.patch / merge) * (image.width / image.patch / merge)
}

/** Token ids and the images that belong to them. */
export interface VlmInputs extends Omit<DecoderInputs, 'positions' | 'cuSeqlens'> {
  /** rows * length ids. */
  readonly ids: Int32Array
  readonly rows: number
  readonly length: number
  /** In the order of their placeholders. */
  readonly images?: readonly EncodedImage[]
  /** rows * length; default 0, 1, 2, ... */
  readonly positions?: Int32Array
  /** Borders of packed sequences. */
  readonly cuSeqlens?: Int32Array
}

/** Images on the device, those of one size together. */
export type PlacedImages = readonly {
  /** f32 [images, height, width, 3] */
  readonly pixels: Tensor
  readonly patch: number
  /** Their numbers among all images. */
  readonly members: readonly number[]
}[]

/** `VlmInputs` on the device. */
export interface PlacedInputs extends DecoderInputs {
  /** i32 [rows, length] */
  readonly ids: Tensor
  readonly images?: PlacedImages
  /** With images: the row that each position reads, of the text or, behind it, of the images' tokens. */
  readonly source?: Tensor
}

const isPlaced = (images: readonly EncodedImage[] | PlacedImages): images is PlacedImages =>
  images.length > 0 && 'members' in images[0]!

export class ShaktiVlm extends Module {
  static override names = {
    vision: 'vision_tower',
    projector: 'multi_modal_projector',
    decoder: 'language_model',
  }
  readonly vision: VisionEncoder
  readonly projector: Projector
  readonly decoder: Decoder
  readonly config: ShaktiVlmConfig
  #together = new Float32Array(0)

  constructor(config: ShaktiVlmConfigInput) {
    super()
    this.config = parseConfig(config)
    const { vision, projector, decoder } = this.config
    this.vision = new VisionEncoder(vision)
    this.projector = new Projector(vision.width, decoder.width, projector.merge)
    this.decoder = new Decoder(decoder)
  }

  get activationCheckpointing(): boolean {
    return this.decoder.activationCheckpointing
  }

  set activationCheckpointing(on: boolean) {
    this.decoder.activationCheckpointing = on
    this.vision.activationCheckpointing = on
  }

  /** Brings images to the device, those of one size together. */
  placeImages(images: readonly EncodedImage[]): PlacedImages {
    if (images.length === 0)
      throw new ShaktiError('ShaktiVlm', 'encodeImages needs at least one image.')
    const groups = new Map<string, number[]>()
    images.forEach((image, i) => {
      const key = `${image.height}x${image.width}/${image.patch}`
      const group = groups.get(key)
      if (group) group.push(i)
      else groups.set(key, [i])
    })
    return [...groups.values()].map((members) => ({ members, ...this.#pixels(members, images) }))
  }

  /**
   * Visual tokens of all images, one after the other: [tokens, decoder width]. Images of one size go through as a batch,
   * those of several sizes packed into one sequence.
   */
  encodeImages(images: readonly EncodedImage[] | PlacedImages): Tensor {
    return frugal(() => {
      const groups = isPlaced(images) ? images : this.placeImages(images)
      const patches =
        groups.length === 1
          ? [this.vision.forward(groups[0]!.pixels, groups[0]!.patch)]
          : this.vision.forwardPacked(groups)
      const parts: Tensor[] = []
      for (const [g, { pixels, patch, members }] of groups.entries()) {
        const tokens = this.projector.forward(
          patches[g]!,
          pixels.shape[1]! / patch,
          pixels.shape[2]! / patch,
        )
        if (groups.length === 1) return tokens.reshape([-1, tokens.shape[2]!])
        members.forEach((m, i) => (parts[m] = tokens.select(0, i)))
      }
      return cat(parts, 0)
    })
  }

  /** Images of one size as one tensor. */
  #pixels(
    members: readonly number[],
    images: readonly EncodedImage[],
  ): { pixels: Tensor; patch: number } {
    const { height, width, patch } = images[members[0]!]!
    const size = height * width * 3
    // One array for all batches, since tensor() copies: to V8 fresh ones are a reason to collect.
    if (this.#together.length < members.length * size)
      this.#together = new Float32Array(members.length * size)
    const all = this.#together.subarray(0, members.length * size)
    members.forEach((m, i) => {
      const { pixels } = images[m]!
      if (pixels.length !== size)
        throw new ShapeError(
          'ShaktiVlm',
          `image ${m} says ${height} x ${width} x 3 and has ${pixels.length} numbers.`,
        )
      all.set(pixels, i * size)
    })
    return {
      pixels: tensor(all, { shape: [members.length, height, width, 3], device: this.device }),
      patch,
    }
  }

  /**
   * Brings ids, images and their places to the device: all that `embed` and `forward` read of them. A captured step is
   * replayed with other inputs of the same sizes (`placedLoss` of @shakti/trainer).
   * @throws ShaktiError when placeholders and images do not agree; ShapeError for positions beyond the context
   */
  place(inputs: VlmInputs): PlacedInputs {
    const { ids, rows, length, images = [], positions, cuSeqlens, mask, cache } = inputs
    if (ids.length !== rows * length)
      throw new ShapeError('ShaktiVlm', `${ids.length} ids are not ${rows} x ${length}.`)
    const places: number[] = []
    const { imageToken } = this.config
    if (imageToken !== undefined)
      for (let i = 0; i < ids.length; i++) if (ids[i] === imageToken) places.push(i)
    const { merge } = this.config.projector
    const expected = images.reduce((n, image) => n + visualTokens(image, merge), 0)
    if (places.length !== expected) {
      throw new ShaktiError(
        'ShaktiVlm',
        `the text has ${places.length} image placeholders, the ${images.length} images have ${expected} tokens. Make both with one processor.`,
      )
    }
    const plain = positions === undefined || this.#plainPositions(positions, inputs)
    // Each position reads either its own row of the text or one of the visual tokens, which stand behind it.
    const source = Int32Array.from({ length: images.length > 0 ? ids.length : 0 }, (_, i) => i)
    places.forEach((place, i) => (source[place] = ids.length + i))
    const { device } = this
    const shape = [rows, length]
    return {
      ids: tensor(ids, { shape, device }),
      ...(images.length > 0
        ? { images: this.placeImages(images), source: tensor(source, { device }) }
        : {}),
      ...(plain ? {} : { positions: tensor(positions, { shape, device }) }),
      ...(cuSeqlens ? { cuSeqlens: tensor(cuSeqlens, { device }) } : {}),
      ...(mask ? { mask } : {}),
      ...(cache ? { cache } : {}),
    }
  }

  /** Embeddings [rows, length, width] in which the placeholders are replaced by the images' tokens. */
  embed(inputs: VlmInputs | PlacedInputs): Tensor {
    const { ids, images, source } = this.#placed(inputs)
    if (!images || !source) return this.decoder.embed(ids)
    return frugal(() => {
      const text = this.decoder.embed(ids)
      const flat = text.reshape([-1, this.config.decoder.width])
      return cat([flat, this.encodeImages(images)], 0)
        .indexSelect(0, source)
        .reshape(text.shape)
    })
  }

  /**
   * Hidden states [rows, length, width]; `logits` turns those that matter into logits.
   * @throws what `place` throws
   */
  forward(inputs: VlmInputs | PlacedInputs): Tensor {
    const placed = this.#placed(inputs)
    return this.decoder.forward(this.embed(placed), placed)
  }

  #placed(inputs: VlmInputs | PlacedInputs): PlacedInputs {
    return inputs.ids instanceof Tensor ? (inputs as PlacedInputs) : this.place(inputs as VlmInputs)
  }

  /** Whether positions are what the decoder would count by itself: then its table is read as it lies. */
  #plainPositions(positions: Int32Array, { rows, length, cache }: VlmInputs): boolean {
    const { context } = this.config.decoder
    if (positions.length !== rows * length) {
      throw new ShapeError(
        'ShaktiVlm',
        `${positions.length} positions are not ${rows} x ${length}.`,
      )
    }
    const past = cache?.length ?? 0
    let plain = true
    for (let i = 0; i < positions.length; i++) {
      const p = positions[i]!
      if (p < 0 || p >= context)
        throw new ShapeError('ShaktiVlm', `position ${p} lies outside the context of ${context}.`)
      if (p !== past + (i % length)) plain = false
    }
    return plain
  }

  /** Hidden states [..., width] to logits [..., vocab]. */
  logits(hidden: Tensor): Tensor {
    return this.decoder.logits(hidden)
  }

  /** Cross-entropy of labels i32 [n] under the logits of hidden states [n, width], without holding all logits. */
  loss(hidden: Tensor, labels: Tensor, options?: LinearCrossEntropyOptions): Tensor {
    return this.decoder.loss(hidden, labels, options)
  }
}
